"""Tests that long work is done by a second process, and that its starts and ends do not affect requests."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.storage.errors import TooLarge, Unavailable
from service.storage.records.join import join
from service.storage.records.offload import INLINE_BYTES, LONGEST_SECONDS, Offload
from service.storage.records.splice import splice
from service.storage.scripts.turns import Turns
from tests.running import ROOT, eventually

LONG = b'{"a":"%b"}' % (b"x" * INLINE_BYTES)


@pytest.fixture
def offload() -> Iterator[Offload]:
    made = Offload()
    yield made
    made.close()


def process(text: bytes) -> int:
    return os.getpid()


def descriptors(text: bytes) -> list[str]:
    return [path.resolve().name for path in Path("/proc/self/fd").iterdir()]


def settings(text: bytes) -> list[str]:
    return [name for name in os.environ if name.startswith("POLYSTOW_")]


def fail(text: bytes) -> int:
    raise KeyError("no such name")


def die(text: bytes) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def stand_still(text: bytes) -> int:
    os.kill(os.getpid(), signal.SIGSTOP)
    return 0


async def test_only_long_work_is_sent_to_the_subprocess(offload: Offload) -> None:
    assert await offload.run(process, b"{}") == os.getpid()
    assert await offload.run(process, LONG, inline=len(LONG)) == os.getpid()
    second = await offload.run(process, LONG)
    assert second != os.getpid()
    assert await offload.run(process, LONG) == second


async def test_the_subprocess_returns_results_and_errors_of_the_function(offload: Offload) -> None:
    assert await offload.run(splice, LONG, b'{"b":1}', 1 << 20) == splice(LONG, b'{"b":1}')
    assert await offload.run(join, LONG, b'{"b":1}', 1 << 20) == join(LONG, b'{"b":1}')
    with pytest.raises(TooLarge, match="the result must have at most"):
        await offload.run(splice, LONG, b'{"b":1}', len(LONG))
    with pytest.raises(KeyError) as caught:
        await offload.run(fail, LONG)
    assert "in fail" in caught.value.__notes__[0], "where it happened"


async def test_concurrent_jobs_take_turns(offload: Offload) -> None:
    texts = [b'{"n":%d,"a":"%b"}' % (n, b"x" * INLINE_BYTES) for n in range(8)]
    results = await asyncio.gather(*(offload.run(splice, text, b'{"b":1}') for text in texts))
    assert results == [splice(text, b'{"b":1}') for text in texts]


async def test_a_subprocess_that_dies_during_a_job_is_replaced(offload: Offload) -> None:
    first = await offload.run(process, LONG)
    with pytest.raises(Unavailable, match="nothing was done"):
        await offload.run(die, LONG)
    second = await offload.run(process, LONG)
    os.kill(second, signal.SIGKILL)
    eventually(lambda: " Z " in Path(f"/proc/{second}/stat").read_text())  # it has ended
    assert await offload.run(process, LONG) not in (first, second)


async def test_a_subprocess_that_hangs_is_replaced_after_a_time() -> None:
    offload = Offload()
    try:
        first = await offload.run(process, LONG)
        offload._seconds = 1
        with pytest.raises(Unavailable, match="nothing was done"):
            await offload.run(stand_still, LONG)
        offload._seconds = LONGEST_SECONDS  # the start of a process may take longer than a second
        assert await offload.run(process, LONG) != first
    finally:
        offload.close()


async def test_a_subprocess_that_hangs_after_its_caller_left_is_replaced_too() -> None:
    offload = Offload(seconds=1)
    try:
        gone = asyncio.create_task(offload.run(stand_still, LONG))
        await asyncio.sleep(0.1)
        gone.cancel()
        offload._seconds = LONGEST_SECONDS
        assert await offload.run(process, LONG) > 0
    finally:
        offload.close()


async def test_a_patch_that_takes_far_more_memory_than_its_size_is_too_large(
    offload: Offload, capfd: pytest.CaptureFixture[str]
) -> None:
    patch = b"{%b}" % b",".join(b'"%x":{"":{"":{"":{"":{}}}}}' % n for n in range(120_000))
    first = await offload.run(process, LONG)
    with pytest.raises(TooLarge, match="too many values"):
        await offload.run(splice, b"{}", patch)
    assert await offload.run(process, LONG) != first, "its memory is given back"
    assert capfd.readouterr().err == "", "a log is lines of JSON"


async def test_a_patch_of_as_many_members_as_fit_is_applied(offload: Offload) -> None:
    patch = b"{%b}" % b",".join(b'"%x":1' % n for n in range(300_000))
    assert await offload.run(splice, patch, patch) == patch


async def test_a_subprocess_without_memory_for_its_job_is_replaced(
    offload: Offload, capfd: pytest.CaptureFixture[str]
) -> None:
    first = await offload.run(process, LONG)
    resource.prlimit(first, resource.RLIMIT_DATA, (1 << 20, resource.RLIM_INFINITY))
    with pytest.raises(Unavailable, match="nothing was done"):
        await offload.run(process, LONG * 400)
    assert await offload.run(process, LONG) != first
    assert capfd.readouterr().err == "", "a log is lines of JSON"


async def test_a_subprocess_that_cannot_be_started_is_a_refusal(
    offload: Offload, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(Unavailable, match="nothing was done"):
            await offload.run(process, LONG)
    assert await offload.run(process, LONG) != os.getpid()


async def test_jobs_pass_through_the_pipes_of_linux(offload: Offload, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of one user share what their pipes may hold, and workers of many pods are of one user."""

    def refused(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr("service.storage.records.offload.fcntl", refused)
    assert await offload.run(splice, LONG, b'{"b":1}') == splice(LONG, b'{"b":1}')


async def test_a_job_that_waits_too_long_for_its_turn_is_refused(offload: Offload) -> None:
    offload._turns = Turns(1, seconds=0.01)
    async with offload._turns.turn():
        with pytest.raises(Unavailable, match="did not come in time; nothing was done"):
            await offload.run(splice, LONG, b"{}")
    assert await offload.run(splice, LONG, b"{}") == LONG


async def test_a_cancelled_job_leaves_the_others_alone(offload: Offload) -> None:
    jobs = [asyncio.create_task(offload.run(splice, LONG, b'{"n":%d}' % n)) for n in range(4)]
    await asyncio.sleep(0)
    jobs[0].cancel()
    jobs[2].cancel()
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert results[1::2] == [splice(LONG, b'{"n":1}'), splice(LONG, b'{"n":3}')]


async def test_a_job_can_be_awaited_without_a_task(offload: Offload) -> None:
    """An operation may be stepped by the reader of a connection, so it awaits only futures."""
    finished: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def step(operation: Coroutine[Any, Any, bytes]) -> None:
        try:
            awaited = operation.send(None)
        except StopIteration as done:
            finished.set_result(done.value)
        else:
            assert isinstance(awaited, asyncio.Future)
            awaited.add_done_callback(lambda _: step(operation))

    asyncio.get_running_loop().call_soon(step, offload.run(splice, LONG, b'{"b":1}'))
    assert await finished == splice(LONG, b'{"b":1}')


async def test_other_tasks_run_between_many_short_jobs(offload: Offload) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    for _ in range(100):
        await offload.run(splice, LONG[: INLINE_BYTES // 10], b"[]")
    beside.cancel()
    assert turns >= 9


async def test_the_subprocess_has_no_sockets_and_no_settings(offload: Offload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYSTOW_ADMIN_TOKEN", "secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.set_inheritable(True)
        assert not [each for each in await offload.run(descriptors, LONG) if each.startswith("socket:")]
    assert await offload.run(settings, LONG) == []


def test_the_subprocess_ends_with_its_worker() -> None:
    program = f"""
import asyncio, os, signal
from service.storage.records import offload
from tests.storage.test_offload import process
print(asyncio.run(offload.run(process, bytes({INLINE_BYTES + 1}))), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    assert done.returncode == -signal.SIGKILL
    eventually(lambda: not Path(f"/proc/{int(done.stdout)}").exists())
