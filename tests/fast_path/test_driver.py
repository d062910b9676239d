"""Tests the driver: a handler that awaits anything in any order continues as it would in a task, and ends once."""

import asyncio
import re
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from time import perf_counter
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from service.api.dialect import Answer, Request, Stream
from service.dialects.ainoflow import DIALECT
from service.http.app import App, start
from service.http.driver import EMPTY, Exchange
from service.http.rendering import date_lines, render
from service.http.state import State, start_stream
from service.metrics import Meter
from service.redis.errors import Failed, NotSent, Overloaded, Rejected, Unanswered
from service.settings import Settings
from service.storage.errors import NotFound, Refusal
from service.storage.scripts.reply import Replies, Reply
from service.storage.scripts.runner import Runner
from tests.fast_path.rig import runner_of
from tests.lengths import examples
from tests.running import soon
from tests.servers import RedisProcess

Handler = Callable[[Request], Awaitable[Answer | Stream]]
KEY = "list"


class Client:
    """A connection that records the answers."""

    def __init__(self) -> None:
        self.ends: list[bytes | Stream] = []
        self.closed = False
        self.over = asyncio.get_running_loop().create_future()

    def end(self, response: bytes) -> None:
        self.ends.append(response)
        if not self.over.done():
            self.over.set_result(response)

    def hand_over(self, exchange: Exchange, answer: Stream) -> None:
        self.ends.append(answer)
        if not self.over.done():
            self.over.set_result(answer)

    def close(self) -> None:
        self.closed = True


def asking(state: State) -> Request:
    return Request("GET", ("k",), "", CIMultiDict({"X-Request-Id": "mine"}), EMPTY, state.service)


async def driven(state: State, handler: Handler) -> bytes | Stream:
    """Return the answer that the driver gives to a connection with this handler."""
    client, request = Client(), asking(state)
    coroutine: Any = handler(request)
    exchange = Exchange(coroutine, client, state, DIALECT, "/x", request, perf_counter())
    asyncio.get_running_loop().call_soon(exchange.set_result, None)
    await asyncio.wait_for(client.over, 60)
    for _ in range(5):
        await asyncio.sleep(0)
    [end] = client.ends
    return end


async def in_a_task(state: State, handler: Handler) -> bytes | Stream:
    """Return the answer of the same handler when a task runs it."""
    request = asking(state)
    answer: Answer | Stream
    try:
        answer = await handler(request)
        if isinstance(answer, Stream):
            answer = await start_stream(answer)
    except (Exception, asyncio.CancelledError) as error:
        answer = state.middleware.refuse(DIALECT, request.params, error, "GET", request.headers)
    if isinstance(answer, Stream):
        return answer
    answer = state.middleware.finish(answer, DIALECT, "/x", "GET", request.headers, 0.0)
    return render(answer, DIALECT.lines, date_lines(perf_counter()), closing=False)


def comparable(response: bytes | Stream) -> bytes:
    assert isinstance(response, bytes)
    return re.sub(rb"\r\nDate: [^\r]*", b"", response)


@pytest.fixture
def state(app: App) -> State:
    return app.state


# Things that a handler may await, by name. Each returns a text that the answer shows. --------------------------------

Step = Callable[[Runner, asyncio.Lock], Awaitable[Any]]


async def reply(runner: Runner, _: asyncio.Lock) -> Any:
    return await runner.command("RPUSH", KEY, "x", key=KEY, write=True)


async def wrong(runner: Runner, _: asyncio.Lock) -> Any:
    try:
        return await runner.command("GET", KEY, key=KEY)
    except Rejected as error:
        return error.word


async def refused(runner: Runner, _: asyncio.Lock) -> Any:
    try:
        return await runner.run("permit", ("none",), subject="me", verb="r")
    except Refusal as error:
        return type(error).__name__


async def replies(runner: Runner, _: asyncio.Lock) -> Any:
    told = await Replies([runner.command(word, KEY, key=KEY) for word in ("LLEN", "GET", "TYPE")])
    return [each if not isinstance(each, Exception) else type(each).__name__ for each in told]


async def no_replies(runner: Runner, _: asyncio.Lock) -> Any:
    return await Replies([])


async def future(_: Runner, __: asyncio.Lock) -> Any:
    loop = asyncio.get_running_loop()
    made = loop.create_future()
    loop.call_soon(made.set_result, "later")
    return await made


async def done(_: Runner, __: asyncio.Lock) -> Any:
    made = asyncio.get_running_loop().create_future()
    made.set_result("now")
    return await made


async def failing(_: Runner, __: asyncio.Lock) -> Any:
    loop = asyncio.get_running_loop()
    made = loop.create_future()
    loop.call_soon(made.set_exception, NotFound("no"))
    try:
        return await made
    except NotFound:
        return "failed"


async def cancelled(_: Runner, __: asyncio.Lock) -> Any:
    loop = asyncio.get_running_loop()
    made = loop.create_future()
    loop.call_soon(made.cancel)
    try:
        return await made
    except asyncio.CancelledError:
        return "cancelled"


async def nap(_: Runner, __: asyncio.Lock) -> Any:
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    return "woken"


async def locked(runner: Runner, lock: asyncio.Lock) -> Any:
    """The lock is held by another task, which releases it."""
    await lock.acquire()
    asyncio.get_running_loop().call_later(0.001, lock.release)
    async with lock:
        return await reply(runner, lock)


async def gathered(runner: Runner, lock: asyncio.Lock) -> Any:
    found = await asyncio.gather(
        wrong(runner, lock), nap(runner, lock), refused(runner, lock), no_replies(runner, lock)
    )
    return [*found]


async def in_thread(_: Runner, __: asyncio.Lock) -> Any:
    return await asyncio.to_thread(str, 1)


STEPS: dict[str, Step] = {
    each.__name__: each
    for each in (
        reply,
        wrong,
        refused,
        replies,
        no_replies,
        future,
        done,
        failing,
        cancelled,
        nap,
        locked,
        gathered,
        in_thread,
    )
}


def ending(kind: str, told: str) -> Answer | Stream:
    if kind == "refusal":
        raise NotFound(told)
    if kind == "fault":
        raise KeyError(told)
    if kind == "cancellation":
        raise asyncio.CancelledError
    if kind == "short stream":
        return Stream(200, _pieces(told.encode()), length=None)
    if kind == "broken stream":
        return Stream(200, _pieces(told.encode(), NotFound("while it was begun")))
    return Answer(200, told.encode())


async def _pieces(only: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    await asyncio.sleep(0)
    if error is not None:
        raise error
    yield only


KINDS = ("answer", "refusal", "fault", "cancellation", "short stream", "broken stream")


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def world(request: pytest.FixtureRequest, redis: RedisProcess) -> Iterator[tuple[asyncio.AbstractEventLoop, State]]:
    loop = request.param()
    app = loop.run_until_complete(_started(redis))
    yield loop, app.state
    loop.run_until_complete(app.close())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _started(redis: RedisProcess) -> App:
    return await start(Settings(), redis.url, Meter())


@examples(40, 150)
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=8), st.sampled_from(KINDS))
def test_a_handler_has_the_same_result_on_the_connection_as_in_a_task(
    world: tuple[asyncio.AbstractEventLoop, State], names: list[str], kind: str
) -> None:
    loop, state = world

    async def handler(_: Request) -> Answer | Stream:
        runner, lock, told = runner_of(state), asyncio.Lock(), []
        await runner.command("DEL", KEY, key=KEY, write=True)
        for name in names:
            told.append(await STEPS[name](runner, lock))
        return ending(kind, repr(told))

    on_connection = loop.run_until_complete(driven(state, handler))
    assert comparable(on_connection) == comparable(loop.run_until_complete(in_a_task(state, handler)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STEPS)
async def test_each_way_of_waiting_and_each_way_of_ending_works(state: State, name: str, kind: str) -> None:
    async def handler(_: Request) -> Answer | Stream:
        await runner_of(state).command("DEL", KEY, key=KEY, write=True)
        return ending(kind, repr(await STEPS[name](runner_of(state), asyncio.Lock())))

    assert comparable(await driven(state, handler)) == comparable(await in_a_task(state, handler))


async def test_an_error_before_the_first_command_reaches_the_caller(state: State) -> None:
    async def handler(_: Request) -> Answer:
        raise KeyError("at once")

    said = await driven(state, handler)
    assert comparable(said).startswith(b"HTTP/1.1 500 ")
    assert comparable(said) == comparable(await in_a_task(state, handler))


async def test_a_long_answer_is_handed_to_aiohttp_with_its_first_pieces(state: State) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for n in range(4):
            yield b"%d" % await runner_of(state).command("RPUSH", KEY, "x", key=KEY, write=True)
            assert n < 2 or asyncio.current_task() is not None

    async def handler(_: Request) -> Answer | Stream:
        await runner_of(state).command("DEL", KEY, key=KEY, write=True)
        return Stream(200, pieces())

    handed = await driven(state, handler)
    assert isinstance(handed, Stream)
    assert [piece async for piece in handed.pieces] == [b"1", b"2", b"3", b"4"]


class Failing:
    """A Redis client whose commands fail."""

    def __init__(self, *failures: Failed | None) -> None:
        self.failures = list(failures)
        self.sent: list[Reply] = []

    def send(self, command: Any) -> None:
        self.sent.append(command)
        if (failure := self.failures.pop(0)) is not None:
            command.outcome.set_exception(failure)

    async def has_sent(self, number: int) -> None:
        await soon(lambda: asyncio.sleep(0, len(self.sent) == number))


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (NotSent("away"), 503),
        (Overloaded("full"), 503),
        (Unanswered("lost"), 503),
        (Rejected("OOM", "OOM full"), 429),
        (Rejected("ERR", "ERR what"), 500),
    ],
)
async def test_a_command_that_fails_while_it_is_sent_fails_its_handler_later(
    state: State, failure: Failed, status: int
) -> None:
    """A handler may send the command again, for example if the queue was full, so the queue must not be in use."""
    runner = Runner()
    runner.redis = failing = Failing(failure, failure)  # type: ignore[assignment]
    went_on = []

    async def handler(_: Request) -> Answer:
        try:
            return Answer(200, await runner.command("GET", "k", key="k"))
        finally:
            went_on.append(len(failing.sent))

    said = comparable(await driven(state, handler))
    assert went_on == [1]
    assert said == comparable(await in_a_task(state, handler))
    assert int(said.split(b" ")[1]) == status


async def test_commands_that_all_fail_while_they_are_sent_fail_their_handler(state: State) -> None:
    runner = Runner()
    runner.redis = Failing(*[Overloaded("full")] * 6)  # type: ignore[assignment]

    async def handler(_: Request) -> Answer:
        told = await Replies([runner.command("GET", "k", key="k") for _ in range(3)])
        return Answer(200, repr([str(each) for each in told]).encode())

    said = comparable(await driven(state, handler))
    assert said.count(b"overloaded") == 3
    assert said == comparable(await in_a_task(state, handler))


async def test_the_last_outcome_of_several_commands_resumes_the_handler(state: State) -> None:
    """The next command is not sent while the driver iterates over the queues."""
    for failures in ((None, NotSent("away"), None), (None, None, NotSent("away"))):
        runner = Runner()
        runner.redis = failing = Failing(*failures, None)  # type: ignore[assignment]

        async def handler(_: Request, runner: Runner = runner) -> Answer:
            told = await Replies([runner.command("GET", "k", key="k") for _ in range(3)])
            last = await runner.command("GET", "k", key="k")
            return Answer(200, repr([*map(str, told), last]).encode())

        going = asyncio.create_task(driven(state, handler))
        await failing.has_sent(3)
        for command in failing.sent[:]:
            if not isinstance(command.outcome, asyncio.Future) and failures[failing.sent.index(command)] is None:
                asyncio.get_running_loop().call_soon(command.outcome.set_result, "kept")
        await failing.has_sent(4)
        asyncio.get_running_loop().call_soon(failing.sent[-1].outcome.set_result, "last")
        said = comparable(await going)
        assert (said.count(b"kept"), said.count(b"cannot be reached"), said.count(b"last")) == (2, 1, 1)


async def test_many_commands_in_a_row_do_not_grow_the_stack(state: State) -> None:
    """Each reply is handled while replies are read, and the next command is sent from there."""
    deepest = 0

    async def handler(request: Request) -> Answer:
        nonlocal deepest
        for _ in range(sys.getrecursionlimit()):
            await runner_of(state).command("RPUSH", KEY, "x", key=KEY, write=True)
            await Replies([runner_of(state).command("LLEN", KEY, key=KEY)])
            deepest = max(deepest, len([*traceback.walk_stack(None)]))
        return Answer(200)

    assert comparable(await driven(state, handler)).startswith(b"HTTP/1.1 200 ")
    assert deepest < 100
