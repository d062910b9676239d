"""Tests append: adds a JSON value to a record's value, byte for byte, in Redis and in the worker alike."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis as client
from hypothesis import given
from hypothesis import strategies as st

from service.storage import keys
from service.storage.errors import Denied, Mismatched, NotFound, TooLarge, Undeclared
from service.storage.records.join import join
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES, MERGE_BYTES
from tests.lengths import examples
from tests.servers import RedisProcess, binaries
from tests.slow_commands import slow_commands
from tests.storage.keyspace import LIMIT, ME, Keyspace
from tests.storage.splice.reference import SPACE, Member, Object, Parser, parse, write
from tests.storage.splice.script import composed
from tests.storage.splice.texts import SPACES, objects, values

FIELD = keys.collection("auravant", "fields", "12345", "")
JOINING = """
local budget = ARGV[1] -- steps
--- @include join
local text, left = join(ARGV[2], ARGV[3], tonumber(budget))
return {text or false, left < 0 and 1 or 0}
"""
PLENTY = 10**9  # steps


def added(target: Object, value: Object) -> Object:
    """Return an object with the members of another one added, not recursively."""
    changes = {member.name: member for member in value.members}
    members = [
        replace(member, value=changes[member.name].value) if member.name in changes else member
        for member in target.members
    ]
    present = {member.name for member in members}
    for member in value.members:
        if member is changes[member.name] and member.name not in present:
            members.append(Member(",", "", member.quoted, member.colon, member.value))
    return Object(tuple(members), target.tail)


def elements(text: str) -> list[str]:
    """Return the texts of an array's elements, without the white space around them."""
    parser, found = Parser(text), []
    parser.place = 1
    parser.space()
    while text[parser.place] != "]":
        parser.place += text[parser.place] == ","
        parser.space()
        start = parser.place
        parser.value()
        found.append(text[start : parser.place])
        parser.space()
    return found


def reference(text: str, value: str) -> str | None:
    """Append in a slow and simple way; return None if the types do not match."""
    lead, target, trail = parse(text)
    _, change, _ = parse(value)
    if isinstance(target, Object) or (isinstance(change, Object) and not text.strip(SPACE).startswith("[")):
        if not (isinstance(target, Object) and isinstance(change, Object)):
            return None
        return lead + write(added(target, change)) + trail
    old, new = text.strip(SPACE), value.strip(SPACE)
    if old[0] == new[0] == '"':
        return lead + old[:-1] + new[1:] + trail
    if old[0] != "[":
        return None
    # The text between the elements of an array must stay as it is, too.
    more = new[1:-1].strip(SPACE) if new[0] == "[" else new
    if not more:
        return text
    head = old[:-1].rstrip(SPACE)
    return lead + head + ("," if elements(old) else "") + more + old[len(head) :] + trail


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str]:
    spaces, escapes = draw(st.sampled_from([[""], SPACES])), draw(st.booleans())
    space = st.sampled_from(spaces)
    fillers = draw(st.sampled_from([0, 0, 8, 50]))
    big = objects(2, spaces, escapes, fillers)
    log = st.lists(objects(1, spaces, escapes), max_size=3).map(lambda entries: f"[{','.join(entries)}]")
    target, value = draw(
        st.one_of(
            st.tuples(big, objects(2, spaces, escapes)),
            st.tuples(values(2, spaces, escapes), values(2, spaces, escapes)),
            st.tuples(log, objects(1, spaces, escapes)),
        )
    )
    return draw(space) + target + draw(space), draw(space) + value + draw(space)


@pytest.fixture(scope="module")
def joiners() -> Iterator[dict[str, Any]]:
    """The Lua join on each redis-server."""
    servers = {name: RedisProcess(path) for name, path in binaries()}
    found, clients = {}, []
    for name, server in servers.items():
        server.start()
        clients.append(client.Redis(unix_socket_path=str(server.socket)))
        found[name] = clients[-1].register_script(composed(JOINING))
    yield found
    for each, server in zip(clients, servers.values(), strict=True):
        each.close()
        server.__exit__(None, None, None)


def in_python(text: str, value: str) -> str | None:
    try:
        return join(text.encode(), value.encode()).decode()
    except Mismatched:
        return None


@examples(100, 700)
@given(pair=pairs())
def test_every_join_gives_the_bytes_of_the_reference(joiners: dict[str, Any], pair: tuple[str, str]) -> None:
    expected = reference(*pair)
    assert in_python(*pair) == expected
    for script in joiners.values():
        text, over = script(args=[PLENTY, *pair])
        assert (text and text.decode(), over) == (expected, 0)


CASES = [
    ("[1,2]", "[3,4]", "[1,2,3,4]"),
    ("[ 1 ]", "[ 2 , 3 ]", "[ 1,2 , 3 ]"),
    ("[]", "[1]", "[1]"),
    ("[ ]", "[]", "[ ]"),
    ("[]", "[]", "[]"),
    ("[[]]", "[[]]", "[[],[]]"),
    ("[[]]", "1", "[[],1]"),
    ("[1]", "{}", "[1,{}]"),
    ("[1]", '"x"', '[1,"x"]'),
    ("[1]", "null", "[1,null]"),
    ('["[", "]"]', "[1]", '["[", "]",1]'),
    ('{"a":1}', '{"b":null}', '{"a":1,"b":null}'),
    ('{"a":{"b":1},"c":2}', '{"a":{"d":3}}', '{"a":{"d":3},"c":2}'),
    ('{"a":1}', '{"a":null}', '{"a":null}'),
    ('{"a":1}', "{}", '{"a":1}'),
    ("{}", '{"a":1.50}', '{"a":1.50}'),
    ('"a\\""', '"\\u0062"', '"a\\"\\u0062"'),
    ('""', '""', '""'),
    ("100000000000001", "1", None),
    ("1", "[1]", None),
    ("true", "true", None),
    ("null", "null", None),
    ('"a"', "1", None),
    ("1", '"a"', None),
    ('"a"', "[1]", None),
    ('"a"', "{}", None),
    ("{}", "[1]", None),
    ("{}", '"a"', None),
    ("{}", "1", None),
    ("1", "{}", None),
]


@pytest.mark.parametrize(("text", "value", "expected"), CASES)
async def test_values_of_matching_types_are_joined_and_others_are_refused(
    storage: Storage, joiners: dict[str, Any], text: str, value: str, expected: str | None
) -> None:
    assert reference(text, value) == in_python(text, value) == expected
    saved = await storage.records.put(Write(FIELD, "a", ME), text.encode())
    append = storage.scoped.append(Write(FIELD, "a", "another"), value.encode(), LIMIT)
    if expected is None:
        with pytest.raises(Mismatched):
            await append
        assert (await storage.records.get(FIELD, "a")).updated == saved.updated
    else:
        assert (await append).version == 2
        record = await storage.records.get(FIELD, "a")
        assert (record.body, record.creator, record.updater) == (expected.encode(), ME, "another")


BIG = {
    "array": (b"[" + b"1," * MERGE_BYTES + b"1]", b"[2]"),
    "object": (b'{"a":"' + b"x" * MERGE_BYTES + b'","b":1}', b'{"b":2}'),
    "string": (b'"' + b"x" * MERGE_BYTES + b'"', b'"y"'),
    "array and a large value": (b"[1]", b'["' + b"x" * INLINE_BYTES + b'"]'),
    "array with white space": (b"[1" + b" " * (MERGE_BYTES - 20) + b"]", b"[2]"),
}


@pytest.mark.parametrize("title", BIG)
async def test_large_values_are_joined_in_the_worker(storage: Storage, redis: RedisProcess, title: str) -> None:
    body, value = BIG[title]
    await storage.grants.grant(FIELD, {"owner": "rw", "reader": "r"}, 1)
    await storage.records.put(Write(FIELD, "a", ME), body)
    with pytest.raises(Denied):
        await storage.scoped.append(Write(FIELD, "a", ME, subject="reader"), value, LIMIT)
    with pytest.raises(NotFound):
        await storage.scoped.append(Write(FIELD, "none", ME, subject="owner"), value, LIMIT)
    with pytest.raises(TooLarge):
        await storage.scoped.append(Write(FIELD, "a", ME, subject="owner"), value, len(body) - 1)
    assert (await storage.records.get(FIELD, "a")).version == 1
    await storage.scoped.append(Write(FIELD, "a", ME, subject="owner"), value, LIMIT)
    assert (await storage.records.get(FIELD, "a")).body == join(body, value)

    async def append() -> None:
        await storage.scoped.append(Write(FIELD, "a", ME, subject="owner"), value, LIMIT)

    assert await slow_commands(redis.command, append, lambda: storage.records.put(Write(FIELD, "a", ME), body)) == []


async def test_an_append_beyond_the_limit_changes_nothing(storage: Storage) -> None:
    await storage.records.put(Write(FIELD, "a", ME), b"[1,2]")
    with pytest.raises(TooLarge):
        await storage.scoped.append(Write(FIELD, "a", ME), b"[3]", 6)
    await storage.scoped.append(Write(FIELD, "a", ME), b"[3]", 7)
    assert (await storage.records.get(FIELD, "a")).body == b"[1,2,3]"


async def test_an_append_stays_within_the_budget_of_steps(joiners: dict[str, Any]) -> None:
    pair = ["[1" + " " * 500 + "]", "[ 2" + " " * 500 + "]"]
    for script in joiners.values():
        assert script(args=[10, *pair])[1] == 1
        assert script(args=[5000, *pair]) == [b"[1,2" + b" " * 500 + b"]", 0]


async def test_no_append_is_lost(storage: Storage) -> None:
    """Small values are appended in Redis and large ones in the worker, all to the same record."""
    await storage.records.put(Write(FIELD, "a", ME), b"[]")
    large = b'"' + b"x" * (MERGE_BYTES // 2) + b'"'
    values = [large if n % 10 == 0 else b"%d" % n for n in range(60)]
    await asyncio.gather(*(storage.scoped.append(Write(FIELD, "a", ME), v, LIMIT) for v in values))
    record = await storage.records.get(FIELD, "a")
    assert record.version == 61
    assert sorted(elements(record.body.decode())) == sorted(value.decode() for value in values)


async def test_permission_is_checked_first(storage: Storage) -> None:
    for value in (b"1", b'"' + b"x" * INLINE_BYTES + b'"'):
        with pytest.raises(Undeclared):
            await storage.scoped.append(Write(FIELD, "none", ME, subject="owner"), value, LIMIT)
    await storage.grants.grant(FIELD, {"reader": "r"}, 1)
    for value in (b"1", b'"' + b"x" * INLINE_BYTES + b'"'):
        with pytest.raises(Denied):
            await storage.scoped.append(Write(FIELD, "none", ME, subject="reader"), value, LIMIT)


async def test_only_the_expected_keys_remain_after_append(storage: Storage, keyspace: Keyspace) -> None:
    saved = await storage.records.put(Write(FIELD, "a", ME, lifetime="+600000"), b"[1]")
    before = keyspace.names()
    appended = await storage.scoped.append(Write(FIELD, "a", ME), b"[2]", LIMIT)
    assert keyspace.names() == before == {FIELD.record("a"), FIELD.expiry}
    assert (appended.expires, appended.created) == (saved.expires, saved.created)
    assert keyspace.command("PTTL", FIELD.record("a")) > 0
