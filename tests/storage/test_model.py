"""Compares storage with a dict in any sequence of operations. At the end of each, fsck must find nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from service.storage.errors import AlreadyExists, Changed, NotFound, QuotaExceeded, Refusal
from service.storage.fsck import check as fsck
from service.storage.journal.retention import Retention
from service.storage.records.conditions import UNCONDITIONAL, Condition
from service.storage.records.quota import Quota, Usage
from service.storage.records.record import etag
from service.storage.records.records import KEEP
from service.storage.records.write import Write
from service.storage.root import Storage
from service.storage.scripts.bounds import INLINE_BYTES, MERGE_BYTES
from service.storage.scripts.runner import Runner
from tests.lengths import some
from tests.servers import RedisProcess
from tests.storage.keyspace import COLLECTION, LIMIT, ME, Keyspace, ids

T = TypeVar("T")

QUOTA = Quota(documents=9)
IDS = st.sampled_from(["a", "b", "B", "a:b", "{x}", "é", "\U0001f600", "k1", "k2", "k3", "k4", "k5"])
# Each is an object, so that all can be merged. The longest ones are staged, and merged in the worker.
PADS = st.sampled_from([0, 0, 0, 1, 7, 100, INLINE_BYTES, MERGE_BYTES])
BODIES = st.builds(lambda n, pad: b'{"n":%d,"pad":"%s"}' % (n, b"x" * pad), st.integers(0, 9), PADS)
NEVER, LATER, SOON = "", "+600000", "+2"
LIFETIMES = st.sampled_from([NEVER, NEVER, LATER, SOON, KEEP])
CONDITIONS = st.sampled_from(["none", "none", "none", "any", "absent", "same", "other"])


@dataclass
class Held:
    """A record of the model. `written` and `made` give the order of updates and of creations."""

    body: bytes
    version: int
    expires: int
    made: int
    written: int


class Machine(RuleBasedStateMachine):
    server: ClassVar[RedisProcess]
    loop: ClassVar[asyncio.AbstractEventLoop]
    runner: ClassVar[Runner]
    journal: ClassVar[Retention | None]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Held] = {}
        self.step = 0
        self.changes: list[tuple[str, str, int, bytes | None]] = []  # without expiries
        self.by_id: dict[str, list[tuple[str, int, str]]] = {}

    @initialize()
    def empty(self) -> None:
        self.server.command("FLUSHALL")
        self.storage = Storage(self.runner)
        self.keyspace = Keyspace(self.server)
        self.do(Usage(self.runner).recount(COLLECTION))

    def do(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    def refused(self, work: Awaitable[object], expected: type[Refusal]) -> None:
        with pytest.raises(expected):
            self.do(work)

    def expected(self, id: str, condition: str, growing: bool) -> type[Refusal] | None:
        """Return the refusal of a conditional write, None if it is not refused. `growing`: it may create the record."""
        there = id in self.held
        if (condition == "absent" and there) or condition == "other":
            return Changed
        if condition in ("any", "same") and not there:
            return Changed
        if not there and not growing:
            return NotFound
        if not there and self.used() >= 9:
            return QuotaExceeded
        return None

    def used(self) -> int:
        """Return the number of documents that count in the quota, also of those that are not swept yet."""
        return self.do(Usage(self.runner).count(COLLECTION))[0]

    def condition(self, id: str, word: str) -> Condition:
        tag = etag(self.held[id].body) if id in self.held else etag(b"")
        return {
            "none": UNCONDITIONAL,
            "any": Condition(match=frozenset({"*"})),
            "absent": Condition(none_match=frozenset({"*"})),
            "same": Condition(match=frozenset({tag, "zzz"})),
            "other": Condition(match=frozenset({"zzz"})),
        }[word]

    def entered(self, operation: str, id: str, version: int, body: bytes) -> None:
        """Note a change that must be in the journal."""
        kept = body if operation not in ("delete", "expire") and len(body) <= INLINE_BYTES else None
        self.by_id.setdefault(id, []).append((operation, version, etag(body)))
        if operation != "expire":
            self.changes.append((operation, id, version, kept))

    def wrote(self, operation: str, id: str, body: bytes, version: int, expires: int, lifetime: str) -> None:
        """Note a write that was carried out. If it expires soon, wait for that; then it is not swept yet."""
        self.step += 1
        self.entered(operation, id, version, body)
        before = self.held.get(id)
        assert version == (before.version + 1 if before else 1)
        if lifetime == KEEP:
            assert expires == (before.expires if before else 0)
        if lifetime == SOON:
            self.held.pop(id, None)
            self.entered("expire", id, version, body)
            self.keyspace.wait_past(expires)
        else:
            self.held[id] = Held(body, version, expires, before.made if before else self.step, self.step)

    @rule(id=IDS, body=BODIES, lifetime=LIFETIMES)
    def create(self, id: str, body: bytes, lifetime: str) -> None:
        work = self.storage.records.create(
            Write(COLLECTION, id, ME, lifetime=lifetime, quota=QUOTA, journal=self.journal), body
        )
        if id in self.held:
            self.refused(work, AlreadyExists)
        elif refusal := self.expected(id, "none", growing=True):
            self.refused(work, refusal)
        else:
            saved = self.do(work)
            self.wrote("create", id, body, saved.version, saved.expires, lifetime)

    @rule(id=IDS, body=BODIES, lifetime=LIFETIMES, condition=CONDITIONS)
    def put(self, id: str, body: bytes, lifetime: str, condition: str) -> None:
        asked = self.condition(id, condition)
        work = self.storage.records.put(
            Write(COLLECTION, id, ME, lifetime=lifetime, condition=asked, quota=QUOTA, journal=self.journal), body
        )
        if refusal := self.expected(id, condition, growing=True):
            self.refused(work, refusal)
        else:
            saved = self.do(work)
            self.wrote("put", id, body, saved.version, saved.expires, lifetime)

    @rule(id=IDS, n=st.integers(10, 99), condition=CONDITIONS)
    def merge(self, id: str, n: int, condition: str) -> None:
        patch = b'{"n":%d}' % n
        asked = self.condition(id, condition)
        work = self.storage.records.merge(
            Write(COLLECTION, id, ME, condition=asked, quota=QUOTA, journal=self.journal), patch, LIMIT
        )
        if refusal := self.expected(id, condition, growing=False):
            self.refused(work, refusal)
        else:
            saved, tag = self.do(work)
            body = b'{"n":%d,' % n + self.held[id].body.split(b",", 1)[1]
            assert tag == etag(body)
            self.wrote("patch", id, body, saved.version, saved.expires, KEEP)

    @rule(id=IDS, condition=CONDITIONS)
    def delete(self, id: str, condition: str) -> None:
        work = self.storage.records.delete(
            Write(COLLECTION, id, ME, condition=self.condition(id, condition), quota=QUOTA, journal=self.journal)
        )
        if refusal := self.expected(id, condition, growing=False):
            self.refused(work, refusal)
        else:
            self.do(work)
            gone = self.held.pop(id)
            self.entered("delete", id, gone.version, gone.body)

    @rule(id=IDS)
    def get(self, id: str) -> None:
        if id not in self.held:
            self.refused(self.storage.records.get(COLLECTION, id), NotFound)
            return
        record, held = self.do(self.storage.records.get(COLLECTION, id)), self.held[id]
        assert (record.body, record.version, record.expires) == (held.body, held.version, held.expires)

    @rule()
    def sweep(self) -> None:
        assert self.do(self.storage.records.sweep(COLLECTION)).left == len(self.held)

    @rule(kind=st.sampled_from("cusn"), offset=st.integers(0, 12), limit=st.integers(1, 5), descending=st.booleans())
    def page(self, kind: str, offset: int, limit: int, descending: bool) -> None:
        order: dict[str, Callable[[Held], int]] = {
            "c": lambda held: held.made,
            "u": lambda held: held.written,
            "s": lambda held: len(held.body),
            "n": lambda held: 0,
        }
        expected = sorted(self.held, key=lambda id: (order[kind](self.held[id]), id.encode()), reverse=descending)
        total, listed = self.do(self.storage.records.page(COLLECTION, kind, offset, limit, descending=descending))
        assert (total, ids(listed)) == (len(self.held), expected[offset : offset + limit])
        assert [one.size for one in listed] == [len(self.held[one.id].body) for one in listed]

    @invariant()
    def the_count_is_exact(self) -> None:
        if hasattr(self, "storage"):
            assert self.do(self.storage.records.count(COLLECTION)) == len(self.held)

    def teardown(self) -> None:
        if not hasattr(self, "storage"):
            return
        told: list[str] = []
        assert self.do(fsck.run(self.server.url, repair=False, out=told.append)) == 0, told
        total = sum(len(held.body) for held in self.held.values())
        while self.do(self.storage.records.sweep(COLLECTION)).more:
            pass
        if self.journal:
            total += self.journal_is_what_was_done()
        assert self.do(Usage(self.runner).stored(COLLECTION)) == (len(self.held), total)

    def journal_is_what_was_done(self) -> int:
        """Compare the journal with all changes that were made. Return the bytes that it counts."""
        found = self.do(self.storage.journal.read(COLLECTION, None, 1000)).changes
        written = [(each.operation, each.id, each.version, each.value) for each in found if each.operation != "expire"]
        assert written == self.changes
        by_id: dict[str, list[tuple[str, int | None, str | None]]] = {}
        for each in found:
            by_id.setdefault(each.id, []).append((each.operation, each.version, each.etag))
        assert by_id == self.by_id
        return sum(64 + len(each.id.encode()) + len(each.author or "") + len(each.value or b"") for each in found)


@pytest.mark.long
def test_storage_behaves_like_a_dict_with_versions_expiry_and_orders(shared: RedisProcess) -> None:
    check(shared, None)


@pytest.mark.long
def test_a_journal_is_the_sequence_of_all_changes(shared: RedisProcess) -> None:
    check(shared, Retention())


def check(shared: RedisProcess, journal: Retention | None) -> None:
    """Run the machine with a journal or without."""
    loop = asyncio.new_event_loop()

    async def connected() -> Runner:
        runner = Runner.open(shared.url)
        await runner.redis.connect()
        return runner

    runner = loop.run_until_complete(connected())
    Machine.server, Machine.loop, Machine.runner, Machine.journal = shared, loop, runner, journal
    few = some(25, 100, stateful_step_count=30)
    try:
        run_state_machine_as_test(Machine, settings=few)
    finally:
        loop.run_until_complete(runner.redis.close())
        loop.close()
