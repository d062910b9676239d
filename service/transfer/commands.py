"""The commands `polystow export` (Redis to file), `import` (file to Redis) and `copy` (Redis to Redis)."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from service.dialects import readers
from service.storage.outcomes import Outcome
from service.storage.scripts.runner import Runner
from service.transfer.archive import Damaged, Writer, read
from service.transfer.checking import Checked
from service.transfer.exporting import Export
from service.transfer.importing import Import
from service.transfer.progress import Reporter, reporting
from service.transfer.unlisted import Selection

STANDARD = "-"  # the file name of standard input and output
PACKED, PLAIN = ".ndjson.zst", ".ndjson"  # the suffixes of file names
TIMEOUT = 60.0  # seconds for one Redis command
FAIL, SKIP, REPLACE = "fail", "skip", "replace"  # values of --on-conflict, for a different record that is stored


def writable(file: str) -> bool:
    """Return True if an export can be written to this file name."""
    return file == STANDARD or file.endswith((PACKED, PLAIN))


async def export(redis_url: str, file: str, selection: Selection, *, quiet: bool) -> int:
    """Write all selected records into a file, and return the exit status. Raises Failed, Refusal, OSError."""
    async with _connected(redis_url) as runner:
        sizes = [await lane.execute("DBSIZE", write=False) for lane in runner.redis.lanes]
        total = None if selection.narrow or selection.dialects else sum(map(int, sizes))
        with reporting("export", total, quiet=quiet) as progress, _created(file) as out:
            writer = Writer(out, compress=file.endswith(PACKED))
            await Export(runner, selection, writer.write, progress).run()
            counts = writer.end()
            out.flush()
    if not quiet:
        progress.say(f"exported: {_counted(counts) or 'nothing is stored'}")
    return 0


async def import_(redis_url: str, file: str, dialects: Collection[str], on_conflict: str = FAIL, *, quiet: bool) -> int:
    """Write the records of an export into a store, and return the exit status. Raises Failed, Refusal, OSError."""
    with _opened(file) as source:
        try:
            total = None
            if file != STANDARD:
                with reporting("verify", None, quiet=quiet) as progress:
                    total = _verify(source, dialects, progress)
                source.seek(0)
            with reporting("import", total, quiet=quiet) as progress:
                return await _write(redis_url, source, dialects, on_conflict, progress, quiet=quiet)
        except Damaged as error:
            print(f"polystow: {file}: {error}", file=sys.stderr)
            return 1


async def copy(
    source_url: str, redis_url: str, dialects: Collection[str], on_conflict: str, *, access: bool, quiet: bool
) -> int:
    """Write everything that is in one store into another one, and return the exit status. Raises Failed, Refusal.

    The export runs in a process of its own, and its output is imported as it arrives, without a file between.
    """
    with _exporting(source_url, access=access) as exporting:
        assert exporting.stdout is not None
        try:
            with reporting("copy", None, quiet=quiet) as progress:
                source = cast(BinaryIO, exporting.stdout)
                status = await _write(redis_url, source, dialects, on_conflict, progress, quiet=quiet)
        except Damaged as error:
            print(f"polystow: the export ended early: {error}", file=sys.stderr)
            return 1
        finally:
            exporting.kill()
    return status


def _exporting(source_url: str, *, access: bool) -> "subprocess.Popen[bytes]":
    """Start an export into a pipe. It gets the URL in its environment, because other users can see its arguments."""
    command = [sys.executable, "-P", "-m", "service", "export", STANDARD, "--quiet", *["--with-access"] * access]
    environment = os.environ | {"POLYSTOW_REDIS_URL": source_url}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


def _verify(source: BinaryIO, dialects: Collection[str], progress: Reporter) -> int:
    """Read and check a whole export, and return the number of its lines. Raises Damaged."""
    lines = 0
    for _ in Checked(read(source), dialects):
        lines += 1
        if not lines % 1000:
            progress(1000)
    return lines


async def _write(
    redis_url: str, source: BinaryIO, dialects: Collection[str], on_conflict: str, progress: Reporter, *, quiet: bool
) -> int:
    async with _connected(redis_url) as runner:
        done = Import(runner, readers(), replace=on_conflict == REPLACE, say=progress.say, progress=progress)
        try:
            await done.run(Checked(read(source), dialects))
        finally:
            if not quiet:
                counted = ", ".join(f"{done.outcomes[outcome]} {outcome.value}" for outcome in Outcome)
                progress.say(f"imported: {counted}; {done.faults} fault{'' if done.faults == 1 else 's'} found")
    return 1 if done.faults or (on_conflict != SKIP and done.outcomes[Outcome.DIFFERENT]) else 0


def _counted(counts: dict[str, dict[str, int]]) -> str:
    return ", ".join(f"{dialect} {n} {kind}" for dialect, kinds in counts.items() for kind, n in kinds.items())


@asynccontextmanager
async def _connected(redis_url: str) -> AsyncIterator[Runner]:
    runner = Runner.open(redis_url, timeout=TIMEOUT, bulk=True)
    try:
        await runner.redis.connect()
        yield runner
    finally:
        await runner.redis.close()


@contextmanager
def _created(file: str) -> Iterator[BinaryIO]:
    """Open a file for writing. Only its owner may read it, and it gets its name when it is complete."""
    if file == STANDARD:
        yield sys.stdout.buffer
        return
    partial = Path(f"{file}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
            out.flush()
            os.fsync(descriptor)
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == STANDARD:
        yield sys.stdin.buffer
        return
    with open(file, "rb") as source:
        yield source
