"""Tests export files: complete ones are read as they were written, all others are refused with a message."""

from hashlib import sha256
from io import BytesIO
from random import Random
from typing import Any

import pytest
import zstandard
from msgpack import packb
from msgspec.json import encode

from service.transfer.archive import Damaged, Writer, read
from service.transfer.checking import Checked
from service.transfer.lines import LINE_BYTES, Document, Line, Namespace

DIALECTS = {"ainoflow"}
SPACE = Namespace("ainoflow", "acme", "cusn")


def document(number: int, text: str = '{"n": 1.50}') -> Document:
    return Document("ainoflow", "acme", "orders", f"k{number}", 1, number, number, text=text)


LINES: list[Line] = [SPACE, *map(document, range(3000))]


def written(lines: list[Line], *, compress: bool = False) -> bytes:
    out = BytesIO()
    writer = Writer(out, compress=compress)
    writer.write("ainoflow", lines)
    writer.end()
    return out.getvalue()


def found(data: bytes) -> list[Line]:
    return [*Checked(read(BytesIO(data)), DIALECTS)]


def signed(*lines: bytes) -> bytes:
    """Return a file with these lines and a correct manifest, as an attacker could write it."""
    body = b"".join(line + b"\n" for line in (b'{"type":"export","format":1,"service":"0.2.0"}', *lines))
    return body + encode({"type": "manifest", "counts": {}, "sha256": sha256(body).hexdigest()}) + b"\n"


def hostile(**members: object) -> bytes:
    """Return a document with members that the service never writes."""
    usual = {"type": "document", "dialect": "ainoflow", "namespace": "acme", "collection": "orders", "id": "k"}
    return signed(encode({k: v for k, v in (usual | STATE | {"text": "[]"} | members).items() if v is not None}))


STATE: dict[str, Any] = {"version": 1, "created": 1, "updated": 1}
VALUE = {"expires": 4_000_000_000_000, "content": {"text": ""}}


def beside(type: str, **members: Any) -> bytes:
    """Return a line of another type with members that the service never writes."""
    return signed(encode({"type": type, "dialect": "ainoflow", "namespace": "acme", "collection": "orders"} | members))


def entry(version: int = 1, at: int = 1, text: str = "{}", total: int = 67, cursor: str = "1-1") -> bytes:
    """Return an entry of a journal that the service never writes."""
    header: bytes = packb(["k", "put", version, "", "", at, 2])
    return beside("change", cursor=cursor, header=header, total=total, text=text)


def behind(*files: bytes) -> bytes:
    """Return a file with the lines of several files of one line, after their namespace."""
    return signed(encode(SPACE), *(file.splitlines()[1] for file in files))


def state(bytes: int, collection: str = "orders", **fields: str) -> bytes:
    """Return the state of a journal."""
    return beside("journal", bytes=bytes, state=fields, collection=collection)


@pytest.mark.parametrize("compress", [False, True])
def test_a_written_archive_can_be_read(compress: bool) -> None:
    assert found(written(LINES, compress=compress)) == LINES
    assert found(written([], compress=compress)) == []


def test_compressed_files_are_small_and_named_by_their_first_bytes() -> None:
    packed = written(LINES, compress=True)
    assert packed.startswith(b"\x28\xb5\x2f\xfd")
    assert len(packed) * 10 < len(written(LINES))


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_that_breaks_off_anywhere_is_refused(compress: bool) -> None:
    """A file that lacks only the last bytes of zstd's own checksum is accepted: its manifest is complete and right."""
    whole = written(LINES[:20], compress=compress)
    for length in range(len(whole) - (8 if compress else 1)):
        with pytest.raises(Damaged):
            found(whole[:length])


@pytest.mark.parametrize("compress", [False, True])
def test_a_flipped_bit_anywhere_is_refused(compress: bool) -> None:
    """Bits without a meaning may be flipped: in the version that wrote the file, and unused bits of zstd."""
    whole = written(LINES[:20], compress=compress)
    chance = Random(1)
    for at in chance.sample(range(len(whole)), min(500, len(whole))):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << chance.randrange(8)
        try:
            assert found(bytes(flipped)) == LINES[:20]
        except Damaged:
            continue


def test_reordered_repeated_and_lost_lines_are_refused() -> None:
    lines = written(LINES[:20]).splitlines(keepends=True)
    for changed in (
        [lines[0], *lines[2:10], lines[1], *lines[10:]],
        [*lines[:5], lines[4], *lines[5:]],
        [*lines[:5], *lines[6:]],
        [*lines, lines[5]],
        [*lines, *lines],
    ):
        with pytest.raises(Damaged):
            found(b"".join(changed))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"\n", "it must be the first line of an export"),
        (b"id,name\n1,x\n", "it must be the first line of an export"),
        (b'{"id": 1}\n', "it must be the first line of an export"),
        (b"PK\x03\x04" + bytes(100), "it must be the first line of an export"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "it cannot be unpacked"),
        (zstandard.compress(b"{}\n"), "it must be the first line of an export"),
        (b'{"type":"export","format":2,"service":"9.0.0"}\n', "version 9.0.0 wrote it in format 2"),
        (b'{"type":"export","format":1,"service":"0.2.0"}\n', "it ends after line 1"),
        (b" " * (LINE_BYTES + 1), "longer than"),
    ],
)
def test_a_foreign_file_is_refused_with_a_message(data: bytes, said: str) -> None:
    with pytest.raises(Damaged, match=said):
        found(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (hostile(version="1"), "`version` must be an integer, not a string"),
        (hostile(version=0), "`version` must be at least 1"),
        (hostile(version=1 << 53), "`version` must be at most"),
        (hostile(created=1.5), "`created` must be an integer, not a number"),
        (hostile(id=None), "`id` is missing"),
        (hostile(id="x" * 1025), "`id` must have at most 1024 characters"),
        (hostile(collection=""), "`collection` must have at least 1 character"),
        (hostile(creator="x" * 81), "`creator` must have at most 80 characters"),
        (hostile(creator="ü" * 80), "at most 80 bytes"),
        (hostile(more=1), "`more` is unknown"),
        (hostile(dialect="nonsense"), "this version knows no dialect 'nonsense'"),
        (hostile(text="[1,"), "must be JSON"),
        (hostile(text=None), "it must have one of"),
        (hostile(size=3), "it must have one of"),
        (hostile(text=None, size=3), "its body is incomplete"),
        (hostile(text=None, base64="!!"), "base64"),
        (signed(b'{"type":"piece","text":"[]"}'), "no line before it begins one"),
        (signed(b'{"type":"nonsense"}'), "`type`"),
        (beside("journal", bytes=1, state={"limits": "x"}), "`state` is not that of a journal"),
        (beside("journal", bytes=1, state={"more": "1"}), "`state` is not that of a journal"),
        (state((1 << 52) + 1), "`bytes` must be at most 4503599627370496"),
        (behind(state(1 << 52), entry(total=(1 << 52) + 1)), "`total` must be at most 4503599627370496"),
        (state(99, freed="100"), "`freed` must be at most the journal's `bytes`, 99"),
        (behind(state(99), state(99, freed="100")), "`freed` must be at most the journal's `bytes`, 99"),
        (behind(state(99), state(100)), "`bytes` must be 99"),
        (behind(state(99, "b"), state(99, "a")), "journals must be in the order of their names"),
        (behind(state(99), entry(), state(99, freed="1")), "each state before its entries"),
        (entry(), "it must come after the `journal` of its collection"),
        (behind(state(99, "else"), entry()), "it must come after the `journal` of its collection"),
        (behind(state(99), entry(total=66)), "`total` must be from 67 "),
        (behind(state(99), entry(total=100)), "`total` must be from 67 .* to the journal's 99"),
        (behind(state(99, freed="30"), entry(total=96)), "`total` must be from 97 "),
        (beside("change", cursor="1-1", header="AAAA", total=1, text=""), "`header` is not that of a change"),
        (entry(at=-1), "`header` has a number that is too large or negative"),
        (entry(at=1 << 53), "`header` has a number that is too large or negative"),
        (entry(version=1 << 53), "`header` has a number that is too large or negative"),
        (entry(text='1}],"next":"0-0'), "must be JSON"),
        (entry(text=f'["{"x" * 32_000}"]'), "its value must have at most 32000 bytes"),
        (hostile(expires=253_402_300_800_000), "`expires` must be at most 253402300799999"),
        (beside("change", cursor="now", header="AAAA", total=1, text=""), "`cursor`"),
        (beside("grants", revision=1, verbs={"a": "everything"}), "`verbs"),
        (beside("files", id="", **STATE), "it must have `file` and an `id`, or `values` and no `id`"),
        (beside("files", id="", values={"k": VALUE | {"media": "a\r\nb"}}, **STATE), "`values"),
        (beside("files", id="", values={"k": VALUE | {"content": {}}}, **STATE), "must have one of"),
        (beside("files", id="", values={"k": VALUE | {"content": {"blob": "x", "size": 1}}}, **STATE), "is outside"),
        (beside("files", id="", values={}, blobs=[{"id": "0" * 32, "size": 1}], **STATE), "its files are incomplete"),
        (signed(b'{"type":"namespace","dialect":"ainoflow","namespace":"a","indexes":"q"}'), "`indexes`"),
    ],
)
def test_a_hostile_line_is_refused_with_a_message(data: bytes, said: str) -> None:
    with pytest.raises(Damaged, match=said) as refused:
        found(data)
    assert str(refused.value).startswith("line ")


def test_a_journal_with_the_largest_counts_is_read() -> None:
    whole = 1 << 52
    assert len(found(behind(state(whole, freed=str(whole - 67)), entry(total=whole), entry(cursor="1-2")))) == 4
    assert len(found(behind(state(whole, freed=str(whole)), state(0, "other")))) == 3


def test_a_compressed_file_cannot_demand_much_memory() -> None:
    packer = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    )
    with pytest.raises(Damaged, match="cannot be unpacked"):
        found(packer.compress(b" " * (1 << 27)))
