"""Compares the dialect over HTTP with dicts in any sequence of writes and reads.

In between, permissions are granted and revoked, tokens are revoked, Redis is restarted, and its functions are flushed.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from service.storage.scripts.bounds import INLINE_BYTES
from tests.dialects.auravant.client import STORAGE
from tests.dialects.machine import Machine, try_out
from tests.http_client import Reply
from tests.running import Running, eventually

R, W, D = "r", "w", "d"
MAY = {"owner": R + W + D, "administration": R + W + D, "edit": R + W, "add": R + W, "read": R}

CALLERS = ["u", "v", "w"]
PLOTS = [("fields", "f"), ("fields", "g"), ("farms", "f")]
PLACES = [("users", user) for user in CALLERS] + PLOTS
NOWHERE = ("fields", "nowhere")
KEYS = ["k", "l", "public_ext_k", "public_priv_k"]
CONTENTS: dict[str, Any] = {
    "a number": 1.5,
    "a text": "t",
    "an array": [1, {}],
    "an object": {"a": 1, "b": []},
    "another object": {"a": 2, "c": 3},
    "a flag": False,
    "a long array": ["x" * INLINE_BYTES],
    "a long object": {"b": "x" * INLINE_BYTES},
}

each_caller = st.sampled_from(CALLERS)
each_place = st.sampled_from([*PLACES, NOWHERE])
each_key = st.sampled_from(KEYS)
each_content = st.sampled_from(list(CONTENTS))
some = st.lists(each_caller, unique=True)


def appended(old: Any, new: Any) -> Any:
    """Return the result of appending, or None if the types do not match."""
    if isinstance(old, list):
        return [*old, *(new if isinstance(new, list) else [new])]
    if isinstance(old, dict) and isinstance(new, dict):
        return old | new
    return old + new if isinstance(old, str) and isinstance(new, str) else None


class Values(Machine):
    def __init__(self) -> None:
        super().__init__()
        self.mark = uuid4().hex[:12]
        self.held: dict[tuple[str, str], dict[str, Any]] = {place: {} for place in PLACES}
        self.roles: dict[tuple[str, str], dict[str, str]] = {place: {"u": "owner"} for place in PLOTS}
        self.space: dict[str, list[str]] = {"admins": [], "members": []}
        self.supervisors: dict[str, str] = {}
        self.supervised: list[str] = []
        self.revoked = ""

    def name(self, what: str) -> str:
        return f"{what}-{self.mark}"

    def token(self, caller: str, **more: object) -> dict[str, object]:
        told = {"token": self.name(caller), "user": self.name(caller), "extension": self.name("e"), "version": "1"}
        return told | more

    @initialize()
    def begin(self) -> None:
        self.declare(
            auravant={
                "extensions": [{"client_id": self.name("e"), "versions": ["1"], "claims": ["storage"]}],
                "users": [self.name(caller) for caller in CALLERS],
                "tokens": [self.token(caller) for caller in CALLERS],
            }
        )
        for place in PLOTS:
            self.permit(place, self.roles[place])

    def permit(self, place: tuple[str, str], roles: dict[str, str]) -> None:
        scope, id = place
        self.roles[place] = roles
        permissions = {self.name(caller): role for caller, role in roles.items()}
        self.declare(auravant={scope: [{"id": self.name(id), "permissions": permissions}]})

    def may(self, caller: str, verb: str, place: tuple[str, str]) -> bool:
        if place[0] != "users":
            return place in self.roles and verb in MAY.get(self.roles[place].get(caller, ""), "")
        user = place[1]
        led = user in self.space["members"] and caller in self.space["admins"]
        role = self.supervisors.get(caller) if user in self.supervised else None
        return user == caller or led or role == "edit" or (role == "read" and verb == R)

    def serves(self) -> bool:
        """Return True if every token has its permissions."""
        return all(
            self.storage(caller, "users", "GET", {"keys": ["k"]}).status == (401 if caller == self.revoked else 200)
            for caller in CALLERS
        )

    def storage(self, caller: str, scope: str, operation: str, body: Mapping[str, object]) -> Reply:
        return self.ask(
            "POST",
            f"{STORAGE}/{scope}?operation={operation}",
            json.dumps(body).encode(),
            Authorization=f"Bearer {self.name(caller)}",
            Content_Type="application/json",
        )

    def code(self, caller: str, answer: Reply) -> int:
        """Return the code of an answer. Check that a revoked token gets no other code than the one for it."""
        code: int = answer.json["code"]
        assert (answer.status, code == -3) == ((401, True) if caller == self.revoked else (200, False)), answer
        return code

    def wrote(self, caller: str, place: tuple[str, str], operation: str, body: dict[str, object], due: int) -> bool:
        """Send a write that gets this code if it is permitted; return True if it was carried out."""
        answer = self.storage(caller, place[0], operation, {"id": self.name(place[1])} | body)
        verb = D if operation == "DELETE" else W
        expected = -3 if caller == self.revoked else due if self.may(caller, verb, place) else 3
        assert self.code(caller, answer) == expected
        return expected == 0

    @rule(caller=each_caller, place=each_place, key=each_key, content=each_content, overwrite=st.booleans())
    def put(self, caller: str, place: tuple[str, str], key: str, content: str, overwrite: bool) -> None:
        value, there = CONTENTS[content], key in self.held.get(place, {})
        body = {"key": key, "value": value, "overwrite": overwrite}
        if self.wrote(caller, place, "PUT", body, 5 if there and not overwrite else 0):
            self.held[place][key] = value

    @rule(
        caller=each_caller,
        place=each_place,
        key=each_key,
        content=each_content,
        create=st.booleans(),
        append=st.booleans(),
    )
    def patch(self, caller: str, place: tuple[str, str], key: str, content: str, create: bool, append: bool) -> None:
        value, held = CONTENTS[content], self.held.get(place, {})
        becomes = appended(held[key], value) if append and key in held else value
        body = {"key": key, "data": value, "create": create, "append": append}
        if self.wrote(
            caller, place, "PATCH", body, 5 if key not in held and not create else 6 if becomes is None else 0
        ):
            held[key] = becomes

    @rule(caller=each_caller, place=each_place, keys=st.lists(each_key, min_size=1))
    def delete(self, caller: str, place: tuple[str, str], keys: list[str]) -> None:
        if self.wrote(caller, place, "DELETE", {"keys": keys}, 0):
            for key in keys:
                self.held[place].pop(key, None)

    @rule(caller=each_caller, places=st.lists(each_place, min_size=1, unique=True), keys=st.lists(each_key, min_size=1))
    def get(self, caller: str, places: list[tuple[str, str]], keys: list[str]) -> None:
        """Read values of the resources of one scope."""
        scope = places[0][0]
        places = [place for place in places if place[0] == scope]
        answer = self.storage(caller, scope, "GET", {"ids": [self.name(id) for _, id in places], "keys": keys})
        if (code := self.code(caller, answer)) == -3:
            return
        if NOWHERE in places:
            assert code in ((5,) if all(self.may(caller, R, place) for place in places if place != NOWHERE) else (3, 5))
        elif not all(self.may(caller, R, place) for place in places):
            assert code == 3
        else:
            assert code == 0
            assert answer.json["info"]["objects"] == self.seen(places, keys)

    def seen(self, places: list[tuple[str, str]], keys: list[str]) -> dict[str, Any]:
        found = {
            self.name(place[1]): {key: value for key, value in self.held[place].items() if key in keys}
            for place in places
        }
        return {id: values for id, values in found.items() if values}

    @rule(caller=each_caller, scope=st.sampled_from(["users", "fields", "farms"]), empty=st.booleans())
    def get_of_all(self, caller: str, scope: str, empty: bool) -> None:
        answer = self.storage(caller, scope, "GET", {"keys": KEYS} | ({"ids": []} if empty else {}))
        if self.code(caller, answer) == -3:
            return
        own, plots = [("users", caller)], [place for place in PLOTS if place[0] == scope and self.may(caller, R, place)]
        expected = self.seen(own if scope == "users" else plots, KEYS)
        if scope == "users" and not empty:
            expected = expected.get(self.name(caller), {})
        assert answer.json["info"]["objects"] == expected

    @rule(
        caller=each_caller,
        scope=st.sampled_from(["users", "fields", "farms"]),
        named=st.booleans(),
        key=st.sampled_from(["k", "ext_k", "priv_k"]),
    )
    def get_public(self, caller: str, scope: str, named: bool, key: str) -> None:
        """Read public values of the caller's own extension. Users need not be named."""
        places = [place for place in PLACES if place[0] == scope]
        query = {"key": key}
        if named or scope != "users":
            query[scope] = ",".join(self.name(id) for _, id in places)
        target = f"/publicvalues/{scope.removesuffix('s')}?{urlencode(query)}"
        answer = self.ask("GET", target, Authorization=f"Bearer {self.name(caller)}")
        readable = [place for place in places if scope == "users" or self.may(caller, R, place)]
        if caller == self.revoked or not readable:
            assert answer.status == 401
            return
        assert answer.status == 200
        told = {each[scope.removesuffix("s")]: each["value"] for each in answer.json}
        assert len(told) == len(answer.json)
        assert told == {
            self.name(place[1]): value for place in readable if (value := self.public(place, key)) is not None
        }

    def public(self, place: tuple[str, str], key: str) -> Any:
        wanted = [f"public_{key}"] if "_" in key else ["public_ext_k", "public_priv_k"]
        found = [self.held[place][each] for each in wanted if each in self.held[place]]
        if len(found) == 2 and all(isinstance(each, dict) for each in found):
            return found[1] | found[0]
        return found[0] if found else None

    @rule(place=st.sampled_from(PLOTS), roles=st.dictionaries(each_caller, st.sampled_from(list(MAY))))
    def change_permissions(self, place: tuple[str, str], roles: dict[str, str]) -> None:
        self.permit(place, roles)

    @rule(admins=st.none() | some, members=st.none() | some)
    def change_space(self, admins: list[str] | None, members: list[str] | None) -> None:
        """Declare the admins and members of the space; those that are left out stay."""
        given = {name: ids for name, ids in (("admins", admins), ("members", members)) if ids is not None}
        self.space |= given
        named = {name: [self.name(caller) for caller in ids] for name, ids in given.items()}
        self.declare(auravant={"spaces": [{"id": self.name("s"), **named}]})

    @rule(supervisors=st.dictionaries(each_caller, st.sampled_from(["read", "edit"])), members=some)
    def change_group(self, supervisors: dict[str, str], members: list[str]) -> None:
        self.supervisors, self.supervised = supervisors, members
        self.declare(
            auravant={
                "groups": [
                    {
                        "id": self.name("g"),
                        "members": [self.name(caller) for caller in members],
                        "supervisors": {self.name(caller): how for caller, how in supervisors.items()},
                    }
                ]
            }
        )

    @rule(caller=each_caller)
    def revoke_or_give_back(self, caller: str) -> None:
        if not self.revoked and not self.can_afford():
            return
        self.declare(auravant={"tokens": [self.token(self.revoked or caller, remove=not self.revoked)]})
        self.revoked = "" if self.revoked else caller
        eventually(self.serves)


@pytest.mark.long
def test_values_behave_like_dicts_with_permissions(serve: Callable[..., Running]) -> None:
    try_out(Values, serve(), costly=6)
