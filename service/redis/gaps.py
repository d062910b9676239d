"""Repair of an append-only file in which Redis has left runs of NUL bytes ("gaps") between commands.

Redis 7 and Valkey open the incremental file that a rewrite begins without O_APPEND. When the disk is full and only a
part of the next commands can be written, Redis cuts that part off again (ftruncate), but its offset in the file stays
where it was. Its next write begins at that offset, so there is a gap before it, as long as the part that was cut off.
Redis does not start from such a file ("Bad file format"), and redis-check-aof would cut off the gap and all commands
after it.

Invariant: only NUL bytes are removed, and only where a command should begin. At every moment the name in the manifest
leads to a complete file, the damaged or the repaired one. The damaged file is kept under another name.
"""

import contextlib
import errno
import io
import itertools
import logging
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from service.redis.aof import MANIFEST, listed

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
LINE_BYTES = 1024  # the longest line; Redis does not read longer annotations
ARRAY = re.compile(rb"\*([1-9][0-9]{0,9})\r\n")
BULK = re.compile(rb"\$([0-9]{1,18})\r\n")
ANNOTATION = re.compile(rb"#[^\n]*\n")
BEGINNING = re.compile(rb"[*$][0-9]*\r?|#[^\n]*|")  # the beginning of a line that the end of the file cuts off


class Damaged(Exception):
    """An append-only file has other damage than gaps. The text tells where, and what the operator can do."""


@dataclass(frozen=True)
class Gap:
    """A run of NUL bytes where a command should begin."""

    offset: int
    length: int


@dataclass
class Scan:
    """The gaps of a file, and the bytes of an incomplete command at its end, which Redis cuts off when it starts.

    `transaction` is the offset of a transaction that begins and does not end; None if there is none.
    """

    gaps: list[Gap] = field(default_factory=list)
    incomplete: int = 0
    transaction: int | None = None


def close_gaps(data_dir: Path) -> bool:
    """Remove the gaps from the incremental files that the manifest lists. Return True if there were any.

    Raises Damaged if a file has other damage; no file is changed then. Raises OSError, usually because the disk has no
    space for the repaired copy; files that were repaired before stay repaired.
    """
    scans = {path: scan(path) for path in listed(data_dir, "i")}
    for path, found in scans.items():
        if not found.gaps:
            continue
        kept = _replace(path, found.gaps)
        for gap in found.gaps:
            log.warning(
                "%s: %d NUL bytes at offset %d, which Redis left when its disk was full, were removed; no command was"
                " removed; the damaged file is now %s",
                *(path, gap.length, gap.offset, kept),
            )
        if found.incomplete:
            log.warning("%s ends with %d bytes of an incomplete command; Redis cuts them off", path, found.incomplete)
    return any(found.gaps for found in scans.values())


def scan(path: Path, offset: int = 0) -> Scan:
    """Read the framing of a file without its values, from `offset` on, where a command begins.

    Raises Damaged if a command does not begin or end as it must.
    """
    found = Scan()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(offset)
        while offset < size:
            if file.peek(1)[:1] == b"\0":
                gap = _gap(path, offset, size)
                found.gaps.append(gap)
                file.seek(offset := offset + gap.length)
                continue
            try:
                word = _pass_command(file, size)
            except ValueError as error:
                raise Damaged(_advice(path, offset, error)) from None
            if word is None:
                found.incomplete = size - offset
                break
            if word == b"MULTI" and found.transaction is None:
                found.transaction = offset
            elif word == b"EXEC":
                found.transaction = None
            offset = file.tell()
    return found


def _gap(path: Path, offset: int, size: int) -> Gap:
    """Return the gap that begins at `offset`. Holes of the file system are skipped, because they may be very large."""
    end = offset
    with path.open("rb", buffering=0) as file:
        while end < size:
            try:
                end = file.seek(end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # a hole reaches to the end of the file
                    end = size
                    break
                file.seek(end)  # this file system does not report holes
            chunk = file.read(CHUNK_BYTES)
            data = chunk.lstrip(b"\0")
            end += len(chunk) - len(data)
            if data or not chunk:
                break
    return Gap(offset, end - offset)


def _pass_command(file: io.BufferedReader, size: int) -> bytes | None:
    """Move to the end of the command or annotation that begins here. Return None if the file ends before it does, else
    its word if it has only one, and an empty text otherwise.

    Raises ValueError with a description of the damage.
    """
    line = file.readline(LINE_BYTES)
    if ANNOTATION.fullmatch(line):
        return b""
    array = ARRAY.fullmatch(line)
    if array is None:
        _check_cut_off(line, b"*#", file.tell() == size, "a command should begin here")
        return None
    word = b""
    for _ in range(int(array[1])):
        line = file.readline(LINE_BYTES)
        bulk = BULK.fullmatch(line)
        if bulk is None:
            wrong = "one of the values of this command does not begin as it should"
            _check_cut_off(line, b"$", file.tell() == size, wrong)
            return None
        end = file.tell() + int(bulk[1])
        if end + 2 > size:
            return None
        if array[1] == b"1":
            word = file.read(min(int(bulk[1]), LINE_BYTES))
        file.seek(end)
        if file.read(2) != b"\r\n":
            raise ValueError("one of the values of this command does not end where it should")
    return word


def _check_cut_off(line: bytes, signs: bytes, at_end: bool, wrong: str) -> None:
    """Raise ValueError unless `line` is the beginning of a correct line that the end of the file cuts off."""
    if not (at_end and BEGINNING.fullmatch(line) and line[:1] in signs):
        raise ValueError(wrong)


def _advice(path: Path, offset: int, wrong: object) -> str:
    manifest = path.with_name(MANIFEST.name)
    return (
        f"{path} is damaged at offset {offset}: {wrong}. No file was changed. Restore the data directory from a backup."
        f" If there is none, copy the directory, then run redis-check-aof --fix {manifest}, which removes all writes"
        " from that offset on"
    )


def _replace(path: Path, gaps: list[Gap]) -> Path:
    """Replace a file with a copy without the gaps. Return the name under which the damaged file is kept.

    If the process is killed between two steps, the next repair overwrites the copy and uses the second name again.
    """
    repaired = path.with_name(f"{path.name}.repaired")
    try:
        _write_without(path, gaps, repaired)
        kept = _keep(path)
        _sync_directory(path.parent)
        os.replace(repaired, path)
        _sync_directory(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            repaired.unlink()
        raise
    return kept


def _write_without(path: Path, gaps: list[Gap], target: Path) -> None:
    with path.open("rb", buffering=0) as source:
        whole = os.fstat(source.fileno())
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, stat.S_IMODE(whole.st_mode))
        try:
            begins = [0, *(gap.offset + gap.length for gap in gaps)]
            ends = [*(gap.offset for gap in gaps), whole.st_size]
            for begin, end in zip(begins, ends, strict=True):
                source.seek(begin)
                _copy(source, out, end - begin)
            os.fsync(out)
        finally:
            os.close(out)


def _copy(source: io.FileIO, out: int, length: int) -> None:
    while length:
        chunk = source.read(min(length, CHUNK_BYTES))
        if not chunk:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        length -= len(chunk)
        while chunk:
            chunk = chunk[os.write(out, chunk) :]


def _keep(path: Path) -> Path:
    """Give the damaged file a second name, unless an interrupted repair has already done so."""
    for number in itertools.count(1):
        kept = path.with_name(f"{path.name}.damaged-{number}")
        try:
            os.link(path, kept)
            return kept
        except FileExistsError:
            if kept.samefile(path):
                return kept
    raise AssertionError("unreachable")


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
