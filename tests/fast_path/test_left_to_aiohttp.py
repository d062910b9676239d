"""Tests which requests the connection answers itself, and which are left to aiohttp."""

import pytest

from service.dialects.ainoflow import DIALECT
from service.storage.access.directory import Caller, Entry, digest, token_entry
from service.storage.access.secret import Secret
from tests.fast_path.rig import Rig, at_rest, runner_of
from tests.raw_http import DOCUMENTS, WHOAMI, request

K = DOCUMENTS + "/c/k"
ONCE = "Idempotency-Key: k-1"
CONNECTION: dict[str, tuple[list[bytes], list[int]]] = {
    "a condition that holds": ([request("PUT", K, b"{}", "If-Match: *")], [200]),
    "an etag that does not": ([request("PUT", K, b"{}", 'If-Match: "none"')], [412]),
    "a known state": ([request("GET", K, None, "If-None-Match: *")], [304]),
    "done once": ([request("PUT", K, b"{}", ONCE)] * 3, [200] * 3),
    "another request with the key": ([request("PUT", K, b"{}", ONCE), request("PUT", K, b"[]", ONCE)], [200, 422]),
    "a malformed key": ([request("PUT", K, b"{}", "Idempotency-Key: ")], [400]),
    "a new category": ([request("POST", f"{DOCUMENTS}/new/k", b"{}")], [201]),
    "a list": ([request("GET", f"{DOCUMENTS}/c")], [200]),
    "an id of its own": ([request("POST", f"{DOCUMENTS}/c", b"{}", ONCE)] * 2, [201] * 2),
    "no caller": ([request("GET", K, credential="X: y")], [401]),
    "an unknown caller": ([request("GET", K, credential="Authorization: Bearer none")], [401]),
    "no document": ([request("GET", K + "none"), request("DELETE", K + "none")], [404, 404]),
    "a large document": ([request("PUT", K, b'["%b"]' % (b"x" * 40_000))], [200]),
    "who asks": ([request("GET", WHOAMI)], [200]),
    "a limited caller": ([request("GET", K, credential="Authorization: Bearer limited")] * 3, [200, 200, 429]),
    "a metered project": (
        [request("PUT", K + n, b"{}", credential="Authorization: Bearer metered") for n in "123"],
        [200, 200, 429],
    ),
}
AIOHTTP: dict[str, tuple[list[bytes], list[int]]] = {
    "HEAD": ([request("HEAD", K)], [200]),
    "an old client": ([request("GET", K, None, "Connection: keep-alive", version="1.0")], [200]),
    "chunks": ([request("PUT", K, None, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n"], [200]),
    "a body that is awaited": ([request("PUT", K, b"{}", "Expect: 100-continue")], [200]),
    "a body in pieces": ([request("PUT", K, b"{}")[:-1], b"}"], [200]),
    "no route": ([request("GET", "/api/v1/none")], [404]),
    "no such method": ([request("DELETE", WHOAMI)], [405]),
}


@pytest.fixture
async def declared(rig: Rig) -> Rig:
    directory = rig.app.state.service.directory
    await directory.declare(
        DIALECT.name,
        [
            token_entry(digest("limited"), Caller("limited", {"project": "p"}, (2, 1000.0))),
            token_entry(digest("metered"), Caller("metered", {"project": "q"})),
            Entry("project", "q", {"quota": {"documents": 2}}, meters="q"),
        ],
    )
    return rig


async def ask(rig: Rig, messages: list[bytes], answers: int) -> None:
    """Send each message after the answer to the previous one, until there are so many answers."""
    for left, message in zip(reversed(range(len(messages))), messages, strict=True):
        rig.receive(message)
        await rig.rest()
        await rig.answered(answers - left)
    await rig.rest()


@pytest.mark.parametrize(("messages", "statuses"), CONNECTION.values(), ids=CONNECTION)
async def test_the_connection_answers_usual_requests_itself(
    declared: Rig, messages: list[bytes], statuses: list[int]
) -> None:
    await ask(declared, messages, len(statuses))
    assert (declared.statuses, declared.ordinary) == (statuses, 0)
    assert at_rest(declared)


@pytest.mark.parametrize(("messages", "statuses"), AIOHTTP.values(), ids=AIOHTTP)
async def test_unusual_requests_are_left_to_aiohttp(rig: Rig, messages: list[bytes], statuses: list[int]) -> None:
    await ask(rig, messages, len(statuses))
    assert (rig.statuses, rig.ordinary) == (statuses, 1)
    assert at_rest(rig)


async def test_retries_of_a_create_have_one_id_also_when_the_secret_is_new(rig: Rig) -> None:
    message = request("POST", f"{DOCUMENTS}/c", b"{}", ONCE)
    await ask(rig, [message], 1)
    state = rig.app.state
    state.service.storage.secret = Secret(runner_of(state))  # as in another worker: nothing was read yet
    await ask(rig, [message], 2)
    first, second = (data.partition(b"\r\n\r\n")[2] for data in rig.transport.written)
    assert first == second
    assert rig.ordinary == 0
