"""Compares variables with a dict in any sequence of sets, removals and clearings, listed by any filter."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import ClassVar, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from service.storage.errors import NotFound
from service.storage.fsck import check as fsck
from service.storage.records.write import Write
from service.storage.scripts.runner import Runner
from service.storage.variables.variables import LAST, Filter, Variable, Variables
from tests.lengths import some
from tests.servers import RedisProcess
from tests.storage.variables import AGENT, EDITOR, SHORT, VIEWER, opened

T = TypeVar("T")

USERS = st.sampled_from([0, 1, 2, 3])  # 0: nobody's
MANY = [f"k{n}" for n in range(SHORT + 8)]  # too many for a short list
KEYS = st.sampled_from(["a", "b", "é", "a:b", *MANY[:2]])
VALUES = st.sampled_from(["", "x", "y", "1.50", "\0", "x" * 300])


class Machine(RuleBasedStateMachine):
    server: ClassVar[RedisProcess]
    loop: ClassVar[asyncio.AbstractEventLoop]
    runner: ClassVar[Runner]
    variables: Variables

    def do(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    @initialize()
    def empty(self) -> None:
        self.server.command("FLUSHALL")
        self.variables = self.do(opened(self.runner))
        self.held: dict[tuple[int, str], Variable] = {}

    @rule(user=USERS, key=KEYS, value=VALUES)
    def assign(self, user: int, key: str, value: str) -> None:
        id = self.do(self.variables.assign(Write(AGENT, subject=EDITOR), user, key, value))
        found = self.do(self.variables.recall(AGENT, VIEWER, user, key))
        assert found is not None
        before = self.held.get((user, key))
        if before is None:
            assert found == Variable(id, user, key, value, found.updated, found.updated)
            assert id not in {each.id for each in self.held.values()}
        else:
            assert found == replace(before, value=value, updated=found.updated)
        assert all(found.updated > each.updated for each in self.held.values())
        self.held[user, key] = found

    @rule(user=USERS, value=VALUES)
    def assign_many(self, user: int, value: str) -> None:
        for key in MANY:
            self.assign(user, key, value)

    @rule(user=USERS)
    def drop_many(self, user: int) -> None:
        for key in MANY:
            self.drop(user, key)

    @rule(user=USERS, key=KEYS)
    def drop(self, user: int, key: str) -> None:
        work = self.variables.drop(Write(AGENT, subject=EDITOR), user, key)
        if self.held.pop((user, key), None):
            self.do(work)
        else:
            with pytest.raises(NotFound):
                self.do(work)

    @rule(sure=st.integers(0, 9))
    def clear(self, sure: int) -> None:
        if sure == 0:  # rarely, so that there is something to list
            assert self.do(self.variables.clear(Write(AGENT, subject=EDITOR))) == len(self.held)
            self.held.clear()

    @rule(
        user=st.none() | st.sampled_from([1, 2, 3, 9]),
        key=st.none() | KEYS,
        value=st.none() | VALUES,
        first=st.none() | st.integers(0, 20),
        last=st.none() | st.integers(0, 20),
        offset=st.integers(0, 12) | st.integers(30, 99),
        limit=st.integers(1, 7),
    )
    def select(
        self,
        user: int | None,
        key: str | None,
        value: str | None,
        first: int | None,
        last: int | None,
        offset: int,
        limit: int,
    ) -> None:
        moments = sorted(each.updated for each in self.held.values())

        def moment(collection: int | None, default: int) -> int:
            return moments[collection % len(moments)] if moments and collection is not None else default

        by = Filter(user, key, value, moment(first, 0), moment(last, LAST))
        expected = [
            each
            for each in sorted(self.held.values(), key=lambda each: (each.updated, each.id), reverse=True)
            if user in (None, each.user)
            and key in (None, each.key)
            and value in (None, each.value)
            and by.since <= each.updated < by.until
        ]
        found = self.do(self.variables.select(AGENT, VIEWER, by, offset, limit))
        assert found == (len(expected), expected[offset : offset + limit])

    def teardown(self) -> None:
        if hasattr(self, "held"):
            told: list[str] = []
            assert self.do(fsck.run(self.server.url, repair=False, out=told.append)) == 0, told


@pytest.mark.long
def test_variables_behave_like_a_dict_that_is_listed_with_filters(shared: RedisProcess) -> None:
    loop = asyncio.new_event_loop()

    async def connected() -> Runner:
        runner = Runner.open(shared.url)
        await runner.redis.connect()
        return runner

    runner = loop.run_until_complete(connected())
    Machine.server, Machine.loop, Machine.runner = shared, loop, runner
    few = some(15, 60, stateful_step_count=40)
    try:
        run_state_machine_as_test(Machine, settings=few)
    finally:
        loop.run_until_complete(runner.redis.close())
        loop.close()
