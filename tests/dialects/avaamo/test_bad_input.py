"""Tests that bad input is refused in the vendor's format, never with a 5xx, and that nothing of it is stored."""

import json

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.avaamo.client import Client, global_storage, set_storage, storages
from tests.lengths import examples


def setting(key: bytes = b'"k"', value: bytes = b'"v"', bot_id: bytes = b"B") -> bytes:
    """Return a body in which `B` is replaced by the agent."""
    return b'{"key":%b,"value":%b,"bot_id":%b}' % (key, value, bot_id)


DEEP = b"[" * 5000 + b"]" * 5000
BODIES = [
    *(b"", b"null", b"[]", b"5", b"nonsense", b"\xff\xfe", b'{"key":"k","value":"v"'),
    *(b'{"value":"v","bot_id":B}', b'{"key":"k","bot_id":B}', b'{"key":"k","value":"v"}'),
    *map(setting, (b'""', b"5", b"null", b'["k"]', b'"\xff"', b'"\\udfff"', b'"%b"' % (b"x" * 256))),
    *(setting(value=each) for each in (b"null", b"{}", b'["v"]', b'"\\ud800"', b"NaN", b"01", b"True", DEEP)),
    *(
        setting(bot_id=each)
        for each in (
            b"null",
            b"B.0",
            b'"B "',
            b"-1",
            b'"x"',
            b"1e3",
            b"[B]",
            b'""',
            b'"\xd9\xa1"',
            b"9" * 5000,
            b"true",
            b'"B\\n"',
        )
    ),
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:60]))
async def test_an_invalid_body_is_422(agent: Client, body: bytes) -> None:
    (await agent.send("u", body.replace(b"B", b"%d" % agent.agent))).refused(422)
    assert await agent.rows() == []


@pytest.mark.parametrize("user", ["", "x" * 256])
async def test_an_invalid_user_layer_id_is_422(agent: Client, user: str) -> None:
    (await agent.send(user, {"key": "k", "value": "v", "bot_id": agent.agent})).refused(422)


@pytest.mark.parametrize("user", ["x" * 255, "é", "a/b", "{}", "\0", "..", "😀" * 255])
async def test_any_other_user_layer_id_is_accepted(agent: Client, user: str) -> None:
    await agent.set(user, "k", "v")
    assert await agent.pairs() == [("k", "v")]


QUERIES = [
    *(
        f"{name}={value}"
        for name in ("page", "per_page")
        for value in (
            "0",
            "-1",
            "x",
            "1.0",
            "%2B1",
            "9" * 5000,
            "%D9%A1",
        )
    ),
    *(f"user_id={value}" for value in ("-1", "x", "1.0", "9" * 5000, "%D9%A1", "1%0A")),
    *(
        f"{name}={value}"
        for name in ("start_date", "end_date", "to_date")
        for value in (
            "x",
            "2020-04-12",
            "0/2/2020",
            "1/2/20",
            "001/2/2020",
            "32/1/2020",
            "29/02/2021",
            "00/01/2020",
            "01/13/2020",
            "01/01/0000",
            "12/04/20",
            "12/04/2020x",
            "12/04/2020%0A",
            "%D9%A12/04/2020",
            "12.04.2020",
        )
    ),
    "start_date=13/04/2020&end_date=12/04/2020",
    "start_date=13/04/2020&to_date=12/04/2020",
    "key=%ff",
    "value=%C3",
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:40])
async def test_an_invalid_parameter_is_422(agent: Client, query: str) -> None:
    (await agent.ask("GET", storages(agent.agent) + "?" + query)).refused(422)


async def test_to_date_before_from_date_has_the_vendors_message(agent: Client) -> None:
    reply = await agent.ask("GET", storages(agent.agent, start_date="02/01/2020", end_date="01/01/2020"))
    assert reply.refused(422) == "To Date cannot be before From Date"


async def test_requests_and_values_above_a_limit_are_413(agent: Client) -> None:
    for size in (65_537, 600_000, 20_000_000):
        body = b'{"key":"k","value":"%b","bot_id":%d}' % (b"x" * size, agent.agent)
        (await agent.send("u", body)).refused(413)
        (await agent.ask("PUT", global_storage("k", bot_id=agent.agent), body)).refused(413)
    assert await agent.rows() == []


async def test_unknown_paths_are_404_and_unknown_methods_405(agent: Client) -> None:
    for path in ("/dashboard/nothing", "/bots_api/v1/nothing", storages(1) + "/x", "/bots_api/v1/storages/k?bot_id=1"):
        (await agent.ask("GET", path)).refused(404)
    for method, path, allowed in (
        ("DELETE", storages(agent.agent), {"GET", "HEAD"}),
        ("GET", set_storage("u"), {"POST"}),
        ("PATCH", global_storage("k"), {"GET", "HEAD", "PUT", "DELETE"}),
    ):
        reply = await agent.ask(method, path)
        reply.refused(405)
        assert set(reply.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"data_types":[]}',
        b'{"data_types":"storage_data"}',
        b'{"data_types":["other"]}',
        b'{"data_types":[5]}',
        b'{"data_types":["storage_data","other"]}',
        b'{"data_types":null}',
    ],
)
async def test_invalid_data_types_clear_nothing(agent: Client, body: bytes) -> None:
    await agent.set("u", "k", "v")
    (await agent.ask("POST", f"/dashboard/agents/{agent.agent}/clear_data.json", body)).refused(422)
    assert await agent.pairs() == [("k", "v")]


async def test_a_global_variable_needs_its_agent(agent: Client) -> None:
    for method in ("GET", "PUT", "DELETE"):
        body = b'{"value":"v"}' if method == "PUT" else None
        for query in ("", "?bot_id=", "?bot_id=x", "?bot_id=1.0"):
            (await agent.ask(method, global_storage("k") + query, body)).refused(422)
        (await agent.ask(method, global_storage("") + f"?bot_id={agent.agent}", body)).refused(422)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "value", "bot_id"]), inner),
    max_leaves=8,
)


@examples(30, 200)
@given(body=st.binary(max_size=60) | st.builds(lambda value: json.dumps(value).encode(), JSON))
async def test_no_body_makes_the_service_fail(agent: Client, http: ClientSession, body: bytes) -> None:
    for method, target in (
        ("POST", set_storage("u")),
        ("PUT", global_storage("k", bot_id=agent.agent)),
        ("POST", f"/dashboard/agents/{agent.agent}/clear_data.json"),
    ):
        assert (await agent.ask(method, target, body)).status in (200, 201, 404, 413, 422, 403)
