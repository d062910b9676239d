"""Writes and reads export files a block of lines at a time, compressed or plain, and verifies their digest."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import BinaryIO, Protocol, cast

import msgspec
import zstandard

from service import __version__
from service.api.parsing import json_parser
from service.storage.errors import Invalid
from service.transfer import lines
from service.transfer.lines import FORMAT, LINE_BYTES, Beginning, Ending, Line

LEVEL = 3  # the level of compression by zstd
BLOCK_BYTES = 256 * 1024  # bytes that are read at a time
WINDOW_BYTES = 8 * 1024 * 1024  # a compressed file that needs a larger window is refused
MAGIC = b"\x28\xb5\x2f\xfd"  # the first bytes of each file that zstd wrote

_parse = json_parser(lines.AnyLine)


class Damaged(Exception):
    """The file is not a complete export. The message says what is wrong and in which line."""


class Sink(Protocol):
    """A file or buffer to which bytes are written."""

    def write(self, data: bytes, /) -> object: ...


class Writer:
    """An export that is being written."""

    def __init__(self, out: Sink, *, compress: bool) -> None:
        self._out = out
        self._packing = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj() if compress else None
        self._digest = sha256()
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._write([Beginning(FORMAT, __version__)])

    def write(self, dialect: str, records: Sequence[Line]) -> None:
        """Write lines of one dialect."""
        self._counts[dialect].update(Counter(map(type_of, records)))
        self._write(records)

    def end(self) -> dict[str, dict[str, int]]:
        """Write the manifest, and return the number of lines of each type, by dialect."""
        counts = {dialect: {**count} for dialect, count in sorted(self._counts.items())}
        self._write([Ending(counts, self._digest.hexdigest())])
        if self._packing is not None:
            self._out.write(self._packing.flush())
        return counts

    def _write(self, records: Sequence[Line]) -> None:
        data = lines.encode(records)
        self._digest.update(data)
        if self._packing is not None:
            data = self._packing.compress(data)
        if data:
            self._out.write(data)


def type_of(line: Line) -> str:
    """Return the member `type` of a line."""
    return str(line.__struct_config__.tag)


def read(source: BinaryIO) -> Iterator[list[Line]]:
    """Yield the lines of an export in blocks, without its first and last line, which are verified. Raises Damaged.

    The digest is compared after the last block was yielded. A caller can trust the lines only after it has read to the
    end.
    """
    verified = _Verified()
    rest = b""
    for data in _unpacked(source):
        whole, newline, tail = data.rpartition(b"\n")
        if newline:
            yield from verified.block(rest + whole + newline)
            rest = tail
        else:
            rest += data
        if len(rest) > LINE_BYTES:
            raise Damaged(f"line {verified.number + 1}: it is longer than {LINE_BYTES} bytes")
    verified.end(rest)


class _Verified:
    """The state of an export that is being read."""

    def __init__(self) -> None:
        self.number = 0  # the number of the last line that was read
        self._digest = sha256()
        self._ended = False

    def block(self, data: bytes) -> Iterator[list[Line]]:
        """Decode and verify a block of whole lines; yield its lines."""
        try:
            found = lines.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._wrong(data) from None
        if self._ended:
            raise Damaged(f"line {self.number + 1}: the manifest must be the last line")
        if not self.number:
            self._begin(found)
        self.number += len(found)
        if found and isinstance(found[-1], Ending):
            data = data[: data.rstrip(b"\n").rfind(b"\n") + 1]
            self._digest.update(data)
            self._finish(found.pop())
        else:
            self._digest.update(data)
        if any(isinstance(line, Beginning | Ending) for line in found):
            raise Damaged(f"line {self.number}: the file has two exports, or its lines are in another order")
        yield found

    def _begin(self, found: list[Line]) -> None:
        if not found or not isinstance(first := found.pop(0), Beginning):
            raise Damaged("line 1: it must be the first line of an export, and is not")
        self.number += 1
        if first.format != FORMAT:
            raise Damaged(f"version {first.service} wrote it in format {first.format}; this version reads {FORMAT}")

    def _finish(self, last: Line) -> None:
        assert isinstance(last, Ending)
        self._ended = True
        if last.sha256 != self._digest.hexdigest():
            raise Damaged("its digest differs from the one in its manifest: lines were changed, lost or reordered")

    def _wrong(self, data: bytes) -> Damaged:
        """Return the exception for a block that cannot be decoded: it names the first bad line and its error."""
        for number, line in enumerate(data.splitlines(), self.number + 1):
            try:
                _parse(line, "line")
            except Invalid as error:
                if number == 1:
                    return Damaged("line 1: it must be the first line of an export, and is not")
                return Damaged(f"line {number}: {str(error).replace('`line.', '`').replace('`line`', 'it')}")
        return Damaged(f"line {self.number + 1}: it is not JSON")

    def end(self, rest: bytes) -> None:
        """Check that the last line was the manifest. Raises Damaged."""
        if not self.number and not rest:
            raise Damaged("it is empty")
        if not self.number:
            raise Damaged("line 1: it must be the first line of an export, and is not")
        if rest or not self._ended:
            raise Damaged(f"it ends after line {self.number}, without the manifest, which is the last line")


def _unpacked(source: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed if it begins with the magic bytes of zstd."""
    peeked = _Peeked(source)
    if peeked.first != MAGIC:
        while data := peeked.read(BLOCK_BYTES):
            yield data
        return
    unpacking = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    packed = unpacking.stream_reader(cast(BinaryIO, peeked), read_across_frames=True)
    try:
        while data := packed.read(BLOCK_BYTES):
            yield data
    except zstandard.ZstdError as error:
        raise Damaged(f"it cannot be unpacked: {str(error).removeprefix('zstd ')}") from None


class _Peeked:
    """A file whose first bytes can be seen before they are read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.first = source.read(len(MAGIC))
        self._ahead = self.first

    def read(self, size: int = -1) -> bytes:
        ahead, self._ahead = self._ahead, b""
        return ahead or self._source.read(size)
