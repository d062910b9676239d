"""Compares the dialect over HTTP with a dict in any sequence of sets, removals and clearings, listed by any filter.

In between, permissions of tokens change, Redis is restarted, and its functions are flushed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import randrange
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.dialects.avaamo.client import global_storage, set_storage, storages
from tests.dialects.machine import Machine, try_out
from tests.http_client import Reply
from tests.running import Running

TOKENS = st.sampled_from(["one", "other"])
USERS = st.sampled_from(["u", "v", "a/b é"])
KEYS = st.sampled_from(["k", "l", "é", "a:b", "{x}"])
VALUES = {
    "text": '"x"',
    "nothing": '""',
    "number": "1.50",
    "flag": "true",
    "escaped": '"\\u00e9"',
    "long": '"' + "y" * 9_000 + '"',
}
KEPT = {"text": "x", "nothing": "", "number": "1.50", "flag": "true", "escaped": "é", "long": "y" * 9_000}
each_value = st.sampled_from(list(VALUES))

VIEW, EDIT = "view", "edit"


@dataclass
class Held:
    """A variable of the model: its value, and its place in the order of sets. Its id is known after it was listed."""

    value: str
    written: int
    id: int | None = None
    created: float | None = None


class Variables(Machine):
    agents: ClassVar["count[int]"] = count(randrange(10**6, 10**12))
    numbers: ClassVar[dict[str, int]]  # of users; they are the same for all agents
    ids: ClassVar[set[int]]  # all that were listed for any agent

    def __init__(self) -> None:
        super().__init__()
        self.agent = next(self.agents)
        self.held: dict[tuple[str | None, str], Held] = {}  # by user and key; a global variable has no user
        self.steps = count()
        self.permissions: dict[str, str | None] = {}
        self.declared = True

    @initialize()
    def begin(self) -> None:
        self.declare(avaamo={"agents": [{"id": self.agent}]})
        self.permit("one", EDIT)
        self.permit("other", VIEW)

    def permit(self, token: str, permission: str | None) -> None:
        self.permissions[token] = permission
        agents = {str(self.agent): permission} if permission else {}
        self.declare(avaamo={"tokens": [{"token": f"{token}-{self.agent}", "agents": agents}]})

    def by(self, token: str, method: str, target: str, body: str | None = None) -> Reply:
        return self.ask(method, target, body.encode() if body else None, Access_Token=f"{token}-{self.agent}")

    def serves(self) -> bool:
        return self.by("one", "GET", storages(self.agent)).status != 503

    def refusal(self, token: str, needed: str) -> int:
        """Return the status with which a request is refused, 0 if it is not."""
        if not self.declared:
            return 404
        return 0 if self.permissions[token] in (needed, EDIT) else 403

    def stored(self, place: tuple[str | None, str], value: str) -> None:
        held = self.held.setdefault(place, Held("", 0))
        held.value, held.written = KEPT[value], next(self.steps)

    @rule(token=TOKENS, user=USERS, key=KEYS, value=each_value)
    def set(self, token: str, user: str, key: str, value: str) -> None:
        body = f'{{"key": {json.dumps(key)}, "value": {VALUES[value]}, "bot_id": {self.agent}}}'
        answer = self.by(token, "POST", set_storage(user), body)
        assert answer.status == (self.refusal(token, EDIT) or 200), answer
        if answer.status == 200:
            assert answer.json == {"status": 201}
            self.stored((user, key), value)

    @rule(token=TOKENS, key=KEYS, value=each_value)
    def set_global(self, token: str, key: str, value: str) -> None:
        answer = self.by(token, "PUT", global_storage(key, bot_id=self.agent), f'{{"value": {VALUES[value]}}}')
        assert answer.status == (self.refusal(token, EDIT) or 201), answer
        if answer.status == 201:
            self.stored((None, key), value)

    @rule(token=TOKENS, key=KEYS)
    def get_global(self, token: str, key: str) -> None:
        answer = self.by(token, "GET", global_storage(key, bot_id=self.agent))
        held = self.held.get((None, key))
        assert answer.status == (self.refusal(token, VIEW) or (200 if held else 404)), answer
        if answer.status == 200 and held:
            assert answer.json == {"key": key, "value": held.value}

    @rule(token=TOKENS, key=KEYS)
    def delete_global(self, token: str, key: str) -> None:
        answer = self.by(token, "DELETE", global_storage(key, bot_id=self.agent))
        there = (None, key) in self.held
        assert answer.status == (self.refusal(token, EDIT) or (200 if there else 404)), answer
        if answer.status == 200:
            del self.held[None, key]

    @rule(token=TOKENS, sure=st.integers(0, 3))
    def clear(self, token: str, sure: int) -> None:
        if sure:  # rarely, so that there are variables to list
            return
        target = f"/dashboard/agents/{self.agent}/clear_data.json"
        answer = self.by(token, "POST", target, '{"data_types": ["storage_data"]}')
        assert answer.status == (self.refusal(token, EDIT) or 200), answer
        if answer.status == 200:
            self.held.clear()

    @rule(
        token=TOKENS,
        user=st.none() | USERS,
        key=st.none() | KEYS,
        value=st.none() | each_value,
        page=st.integers(1, 4),
        per_page=st.integers(1, 5),
    )
    def list(self, token: str, user: str | None, key: str | None, value: str | None, page: int, per_page: int) -> None:
        """List one page by a filter.

        A user who was never listed has no known number, and so no filter. An empty parameter counts as absent, so an
        empty value is not a filter either.
        """
        user = user if user in self.numbers else None
        query: dict[str, object] = {"page": page, "per_page": per_page}
        query |= {"user_id": self.numbers[user]} if user else {}
        query |= {name: given for name, given in (("key", key), ("value", value and KEPT[value])) if given is not None}
        wanted = KEPT[value] if value else ""
        answer = self.by(token, "GET", storages(self.agent, **query))
        assert answer.status == (self.refusal(token, VIEW) or 200), answer
        if answer.status != 200:
            return
        meant = [
            place
            for place, held in self.held.items()
            if user in (None, place[0]) and key in (None, place[1]) and (not wanted or held.value == wanted)
        ]
        meant.sort(key=lambda place: -self.held[place].written)
        told = answer.json
        assert (told["current_page"], told["per_page"], told["total_entries"]) == (page, per_page, len(meant))
        assert told["total_pages"] == -(-len(meant) // per_page)
        shown = meant[(page - 1) * per_page : page * per_page]
        assert [(row["key"], row["value"]) for row in told["storage"]] == [
            (place[1], self.held[place].value) for place in shown
        ]
        for place, row in zip(shown, told["storage"], strict=True):
            self.same(place, row)

    def same(self, place: tuple[str | None, str], row: dict[str, Any]) -> None:
        """Check that user, id and time of creation of a row are as they were, and that no other row has them."""
        held, user = self.held[place], place[0]
        assert ("user" in row) == (user is not None)
        if user is not None:
            assert self.numbers.setdefault(user, row["user"]["id"]) == row["user"]["id"]
            assert len(set(self.numbers.values())) == len(self.numbers)
        if held.id is None:
            assert row["id"] not in self.ids
            self.ids.add(row["id"])
            held.id, held.created = row["id"], row["created_at"]
        assert (row["id"], row["created_at"]) == (held.id, held.created)
        assert row["updated_at"] >= row["created_at"]

    @rule(token=TOKENS, permission=st.sampled_from([VIEW, EDIT, EDIT, None]))
    def change_permission(self, token: str, permission: str | None) -> None:
        self.permit(token, permission)

    @rule(sure=st.integers(0, 3))
    def remove_or_declare_agent(self, sure: int) -> None:
        """An agent that is declared again has the variables that it had."""
        if self.declared and sure:
            return
        self.declare(avaamo={"agents": [{"id": self.agent, "remove": self.declared}]})
        self.declared = not self.declared


@pytest.mark.long
def test_variables_behave_like_a_dict_that_is_listed_with_filters(serve: Callable[..., Running]) -> None:
    Variables.numbers, Variables.ids = {}, set()
    try_out(Variables, serve(), costly=6)
