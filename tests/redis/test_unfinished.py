"""Tests that a transaction that is cut off at the end of an append-only file is removed whole, and nothing else."""

import os
import signal
from pathlib import Path

import pytest

from service.redis.aof import MANIFEST
from service.redis.embedded import Embedded, answers, socket_of
from service.redis.unfinished import EXEC, cut_unfinished, unfinished
from tests.redis.test_embedded import once
from tests.redis.test_gaps import command
from tests.running import soon

BEGIN, END = command(b"MULTI"), command(b"EXEC")
FORGED = b"x" + END + b"*3\r\n$3\r\nSET"  # a value that looks like the end of a transaction
UNITS = [  # each is carried out as a whole or not at all
    command(b"SELECT", b"0"),
    BEGIN + command(b"SET", b"a", b"1") + command(b"SET", b"b", b"1") + END,
    command(b"SET", b"c", b"1"),
    BEGIN + command(b"SET", b"a", FORGED) + command(b"SET", b"b", BEGIN + command(b"SET", b"f", b"2")) + END,
    command(b"SET", b"c", END + b"y"),
    BEGIN + command(b"SET", b"a", b"3") + command(b"SET", b"b", b"\0" * 20) + command(b"SET", b"d", b"3") + END,
]
WHOLE = b"".join(UNITS)
STARTS = [sum(map(len, UNITS[:number])) for number in range(len(UNITS))]


def placed(data_dir: Path, text: bytes) -> Path:
    """Write a data directory whose only file has this text."""
    (data_dir / MANIFEST).parent.mkdir(exist_ok=True)
    (data_dir / MANIFEST).write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    path = (data_dir / MANIFEST).with_name("appendonly.aof.1.incr.aof")
    path.write_bytes(text)
    return path


def kept(end: int) -> int:
    """Return the number of kept bytes of a file that ends here. Redis itself cuts off an incomplete single command."""
    start = max(start for start in STARTS if start <= end)
    began = WHOLE.startswith(BEGIN, start) and start + len(BEGIN) <= end
    looks_complete = WHOLE[:end].endswith(EXEC)  # in a value: that is not noticed
    return start if began and not looks_complete else end


def test_wherever_a_file_ends_all_of_the_last_transaction_is_removed_and_nothing_before_it(tmp_path: Path) -> None:
    for end in range(len(WHOLE)):
        path = placed(tmp_path, WHOLE[:end])
        assert cut_unfinished(tmp_path) == end - kept(end)
        assert path.read_bytes() == WHOLE[: kept(end)]
        assert cut_unfinished(tmp_path) == 0
    path = placed(tmp_path, WHOLE)
    assert cut_unfinished(tmp_path) == 0
    assert path.read_bytes() == WHOLE


def test_the_last_end_is_found_across_portions_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = placed(tmp_path, WHOLE[:-1])
    for size in range(len(EXEC), 40):
        monkeypatch.setattr("service.redis.unfinished.CHUNK_BYTES", size)
        assert unfinished(path) == STARTS[-1]


def test_only_the_last_file_is_cut_and_none_is_needed(tmp_path: Path) -> None:
    assert cut_unfinished(tmp_path) == 0
    path = placed(tmp_path, WHOLE[:-1])
    last = path.with_name("appendonly.aof.2.incr.aof")
    last.write_bytes(UNITS[0])
    with (tmp_path / MANIFEST).open("a") as manifest:
        manifest.write("file appendonly.aof.2.incr.aof seq 2 type i\n")
    assert cut_unfinished(tmp_path) == 0
    assert path.read_bytes() == WHOLE[:-1]
    last.unlink()
    assert cut_unfinished(tmp_path) == 0


def test_a_file_with_other_damage_is_unchanged(tmp_path: Path) -> None:
    damaged = UNITS[0] + b"damage" + UNITS[1][:-1]
    path = placed(tmp_path, damaged)
    assert cut_unfinished(tmp_path) == 0
    assert path.read_bytes() == damaged


MOMENTS = {  # moments of a kill within the last transaction
    "behind MULTI": len(BEGIN),
    "within its first command": len(BEGIN) + 9,
    "behind its first command": len(BEGIN) + len(command(b"SET", b"a", b"3")),
    "within its second command": len(BEGIN) + len(command(b"SET", b"a", b"3")) + 30,
    "within EXEC": len(UNITS[-1]) - 3,
}


@pytest.mark.asyncio(loop_factories=["uvloop"])  # as in test_embedded.py
@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_redis_that_is_killed_twice_loses_no_write_between_and_carries_out_no_half(
    binary: Path, tmp_path: Path, moment: str
) -> None:
    """The embedded Redis starts from a file that a kill has cut off, is written to, and is killed again."""
    placed(tmp_path, WHOLE[: STARTS[-1] + MOMENTS[moment]])
    stored = {"a": FORGED, "b": BEGIN + command(b"SET", b"f", b"2"), "c": END + b"y", "d": None, "f": None}
    server = Embedded(tmp_path, server=binary)
    await server.start()
    try:
        assert {key: await once(server.url, "GET", key, write=False) for key in stored} == stored
        await once(server.url, "SET", "e", "4")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)

        async def back() -> bool:
            return server.restarts == 1 and await answers(socket_of(tmp_path))

        await soon(back)
        stored |= {"e": b"4"}
        assert {key: await once(server.url, "GET", key, write=False) for key in stored} == stored
    finally:
        await server.stop()
