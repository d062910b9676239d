"""Tests that gaps (runs of NUL bytes that a full disk leaves in an append-only file) are removed, and nothing else."""

import os
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from service.redis.aof import MANIFEST
from service.redis.gaps import Damaged, Gap, Scan, close_gaps, scan
from tests.running import ROOT

FIRST = "appendonly.aof.1.incr.aof"
LAST = "appendonly.aof.2.incr.aof"
MEBIBYTE = 1 << 20


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


A = command(b"SELECT", b"0") + command(b"SET", b"k", b"v")
NULS = command(b"SET", b"n\0", b"\0\0\0\r\n\0*1\r\n$4\r\nQUIT\r\n\0")
STAMP = b"#TS:1700000000\r\n"
TRANSACTION = [command(b"MULTI"), command(b"SET", b"", b""), command(b"EXEC")]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / MANIFEST).parent.mkdir()
    others = "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.0.incr.aof seq 0 type h\n"
    (tmp_path / MANIFEST).write_text(f"{others}file {FIRST} seq 1 type i\nfile {LAST} seq 2 type i startoffset 7\n")
    for name in (FIRST, LAST):
        place(tmp_path, name).write_bytes(A)
    return tmp_path


def place(data_dir: Path, name: str) -> Path:
    return (data_dir / MANIFEST).with_name(name)


def names(data_dir: Path) -> set[str]:
    return set(os.listdir(data_dir / "appendonlydir"))


def test_a_valid_file_is_unchanged(data_dir: Path) -> None:
    whole = A + STAMP + NULS + b"".join(TRANSACTION) + STAMP
    place(data_dir, LAST).write_bytes(whole)
    assert not close_gaps(data_dir)
    assert place(data_dir, LAST).read_bytes() == whole
    assert names(data_dir) == {FIRST, LAST, MANIFEST.name}
    assert scan(place(data_dir, LAST)) == Scan([], 0)


def test_gaps_are_found_wherever_a_command_or_an_annotation_may_begin(data_dir: Path) -> None:
    pieces = [A, STAMP, NULS, *TRANSACTION, STAMP, A]
    for lengths in ([1] * 8, [7, 4096, 1, 3 * MEBIBYTE + 1, 2, 1024, 1025, 9]):
        file, gaps = b"", []
        for piece, length in zip(pieces, lengths, strict=True):
            gaps.append(Gap(len(file), length))
            file += bytes(length) + piece
        gaps.append(Gap(len(file), 5))
        place(data_dir, FIRST).write_bytes(file + bytes(5))
        assert scan(place(data_dir, FIRST)) == Scan(gaps, 0)
        assert close_gaps(data_dir)
        assert place(data_dir, FIRST).read_bytes() == b"".join(pieces)
        assert not close_gaps(data_dir)


def test_the_damaged_file_is_kept_with_its_mode_and_the_log_says_what_was_done(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = [A + bytes(10) + NULS, bytes(3) + A]
    for name, content in zip((FIRST, LAST), damaged, strict=True):
        place(data_dir, name).write_bytes(content)
        place(data_dir, name).chmod(0o640)
    place(data_dir, f"{LAST}.damaged-1").write_bytes(b"of an earlier time")
    assert close_gaps(data_dir)
    kept = [place(data_dir, f"{FIRST}.damaged-1"), place(data_dir, f"{LAST}.damaged-2")]
    assert [path.read_bytes() for path in kept] == damaged
    assert [place(data_dir, name).read_bytes() for name in (FIRST, LAST)] == [A + NULS, A]
    assert {place(data_dir, name).stat().st_mode & 0o777 for name in (FIRST, LAST)} == {0o640}
    assert f"{FIRST}: 10 NUL bytes at offset {len(A)}, which Redis left when its disk was full" in caplog.text
    assert f"the damaged file is now {kept[1]}" in caplog.text


BEGIN = "a command should begin here"
VALUE = "does not begin as it should"


@pytest.mark.parametrize(
    ("wrong", "offset", "said"),
    [
        (b"x" + A, 0, BEGIN),
        (b"\r\n" + A, 0, BEGIN),
        (b"*0\r\n" + A, 0, BEGIN),
        (b"*-1\r\n" + A, 0, BEGIN),
        (b"#" + b"x" * 2000 + b"\r\n" + A, 0, BEGIN),
        (b"*1\r\n" + bytes(9) + b"$1\r\nx\r\n" + A, 0, VALUE),
        (b"*1\r\n" + bytes(9), 0, VALUE),
        (b"*1\r\n$-1\r\n" + A, 0, VALUE),
        (b"*1\r\n$3\r\nab" + bytes(9) + A, 0, "does not end where it should"),
        (bytes(9) + b"$1\r\nx\r\n" + A, 9, BEGIN),
    ],
)
def test_any_other_damage_is_unchanged_and_reported(data_dir: Path, wrong: bytes, offset: int, said: str) -> None:
    """No file is changed, also not an earlier one that could be repaired."""
    place(data_dir, FIRST).write_bytes(A + bytes(5) + A)
    place(data_dir, LAST).write_bytes(A + wrong)
    advice = rf"{LAST} is damaged at offset {len(A) + offset}: .*{said}.*No file was changed.*backup.*redis-check-aof"
    with pytest.raises(Damaged, match=advice):
        close_gaps(data_dir)
    assert place(data_dir, FIRST).read_bytes() == A + bytes(5) + A
    assert place(data_dir, LAST).read_bytes() == A + wrong
    assert names(data_dir) == {FIRST, LAST, MANIFEST.name}


def test_a_command_that_the_end_of_the_file_cuts_off_is_left_to_redis(
    data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = STAMP + NULS
    cuts = [cut for cut in range(1, len(whole)) if cut != len(STAMP)]
    for cut in cuts:
        place(data_dir, LAST).write_bytes(A + bytes(3) + A + whole[:cut])
        begun = cut - len(STAMP) if cut > len(STAMP) else cut
        assert scan(place(data_dir, LAST)) == Scan([Gap(len(A), 3)], begun)
        assert close_gaps(data_dir)
        assert place(data_dir, LAST).read_bytes() == A + A + whole[:cut]
    assert f"{LAST} ends with {cuts[-1] - len(STAMP)} bytes of an incomplete command" in caplog.text


def test_memory_is_limited_for_any_values_and_gaps(data_dir: Path) -> None:
    """The file has a value of 32 MiB and a gap of 8 GiB, which needs no space on the disk (a sparse file)."""
    value = 32 * MEBIBYTE
    head, tail = b"*1\r\n$%d\r\n" % value, b"\r\n" + A
    with place(data_dir, LAST).open("wb") as file:
        file.write(A)
        file.seek(8 << 30, os.SEEK_CUR)
        file.write(head)
        file.seek(value, os.SEEK_CUR)
        file.write(tail)
    tracemalloc.start()
    assert close_gaps(data_dir)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * MEBIBYTE
    with place(data_dir, LAST).open("rb") as file:
        assert file.read(len(A) + len(head)) == A + head
        file.seek(value, os.SEEK_CUR)
        assert file.read() == tail


KILLED = """
import os, sys
from pathlib import Path
from service.redis import gaps

left = int(sys.argv[2])

def counted(step):
    def run(*arguments):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return step(*arguments)
    return run

for name in ("open", "write", "fsync", "close", "link", "replace"):
    setattr(os, name, counted(getattr(os, name)))
gaps.CHUNK_BYTES = 16
sys.exit(0 if gaps.close_gaps(Path(sys.argv[1])) else 3)
"""


def test_a_repair_that_is_killed_between_any_two_steps_is_finished_by_the_next(data_dir: Path) -> None:
    damaged, repaired = A + bytes(40) + NULS + bytes(2), A + NULS
    status, steps = 9, 0
    while status == 9:
        for name in names(data_dir) - {MANIFEST.name}:
            place(data_dir, name).unlink()
        for name in (FIRST, LAST):
            place(data_dir, name).write_bytes(damaged)
        killed = [sys.executable, "-c", KILLED, str(data_dir), str(steps)]
        status = subprocess.run(killed, cwd=ROOT, check=False).returncode
        assert status in (0, 9)
        for name in (FIRST, LAST):
            content = place(data_dir, name).read_bytes()
            assert content in (damaged, repaired)
            assert content == damaged or place(data_dir, f"{name}.damaged-1").read_bytes() == damaged
        close_gaps(data_dir)
        assert {place(data_dir, name).read_bytes() for name in (FIRST, LAST)} == {repaired}
        assert names(data_dir) == {FIRST, LAST, f"{FIRST}.damaged-1", f"{LAST}.damaged-1", MANIFEST.name}
        steps += 1
    assert steps > 20


def test_without_space_for_the_copy_nothing_is_changed(data_dir: Path) -> None:
    damaged = A + bytes(5) + NULS
    place(data_dir, LAST).write_bytes(damaged)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))  # Python ignores the signal
    try:
        with pytest.raises(OSError, match="File too large"):
            close_gaps(data_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert place(data_dir, LAST).read_bytes() == damaged
    assert names(data_dir) == {FIRST, LAST, MANIFEST.name}
