"""Compares the dialect over HTTP with a dict in any sequence of requests.

The sequences also have expiries, restarts of Redis, flushes of its functions, and changes of access. At the end of
each, fsck must find nothing.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5
from urllib.parse import quote, urlencode
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from service.storage.scripts.bounds import INLINE_BYTES
from tests.dialects.ainoflow.client import at
from tests.dialects.machine import Machine, try_out
from tests.http_client import Reply
from tests.running import Running, eventually

KEYS = st.sampled_from(["a", "b", "B", "a/b", "{x}", "é", "\U0001f600", "meta", "k1", "k2"])
PADS = st.sampled_from([0, 0, 0, 1, 100, INLINE_BYTES])
BODIES = st.builds(lambda n, pad: b'{"n":%d, "pad":"%s"}' % (n, b"x" * pad), st.integers(0, 9), PADS)
LIFETIMES = st.sampled_from(["", "", "", "later", "soon"])
CONDITIONS = st.sampled_from(["none", "none", "none", "any", "absent", "same", "other"])


@dataclass
class Held:
    """A document of the model. `made` and `written` give the order of creations and of updates."""

    body: bytes
    version: int
    expires: bool
    made: int
    written: int

    @property
    def etag(self) -> str:
        return md5(self.body).hexdigest()


class Documents(Machine):
    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, Held] = {}
        self.step = 0
        self.project = uuid4().hex
        self.admitted = True

    @initialize()
    def begin(self) -> None:
        self.access({"key": self.project, "id": "me", "project": self.project})

    def access(self, key: dict[str, object]) -> None:
        self.declare(ainoflow={"keys": [key]})

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Reply:
        return super().ask(method, target, body, Authorization=f"Bearer {self.project}", **headers)

    def serves(self) -> bool:
        return self.ask("GET", "/api/v1/whoami").status == (200 if self.admitted else 401)

    def condition(self, key: str, word: str) -> dict[str, str]:
        if word == "same" and key in self.held:
            return {"If_Match": f'"{self.held[key].etag}"'}
        return {
            "none": {},
            "any": {"If_Match": "*"},
            "same": {"If_Match": '"zzz"'},
            "other": {"If_Match": '"zzz"'},
            "absent": {"If_None_Match": "*"},
        }[word]

    def refusal(self, key: str, word: str, missing: int = 0) -> int:
        """Return the status that refuses a conditional write, 0 if none does. `missing`: that without a document."""
        if not self.admitted:
            return 401
        there = key in self.held
        if (word == "absent" and there) or word == "other" or (word in ("any", "same") and not there):
            return 412
        return 0 if there else missing

    def wrote(self, key: str, body: bytes, answer: Reply, lifetime: str = "keep") -> None:
        self.step += 1
        before = self.held.get(key)
        receipt = answer.json
        assert receipt["version"] == (before.version + 1 if before else 1)
        assert receipt["etag"] == md5(body).hexdigest()
        expires = before.expires if lifetime == "keep" and before else lifetime not in ("", "keep")
        assert (receipt["expiresAt"] is not None) == expires
        if lifetime == "soon":
            self.held.pop(key, None)
            time.sleep(0.004)
            return
        made = before.made if before else self.step
        self.held[key] = Held(body, receipt["version"], expires, made, self.step)

    def query(self, lifetime: str) -> dict[str, int]:
        return {"": {}, "later": {"expiresMs": 600_000}, "soon": {"expiresMs": 2}}[lifetime]

    @rule(key=KEYS, body=BODIES, lifetime=LIFETIMES, condition=CONDITIONS)
    def put(self, key: str, body: bytes, lifetime: str, condition: str) -> None:
        target = at("c", key, **self.query(lifetime))
        answer = self.ask("PUT", target, body, **self.condition(key, condition))
        assert answer.status == (self.refusal(key, condition) or 200)
        if answer.status == 200:
            self.wrote(key, body, answer, lifetime)

    @rule(key=KEYS, body=BODIES, lifetime=LIFETIMES)
    def post(self, key: str, body: bytes, lifetime: str) -> None:
        answer = self.ask("POST", at("c", key, **self.query(lifetime)), body)
        assert answer.status == (401 if not self.admitted else 409 if key in self.held else 201)
        if answer.status == 201:
            self.wrote(key, body, answer, lifetime)

    @rule(key=KEYS, n=st.integers(10, 99), condition=CONDITIONS)
    def patch(self, key: str, n: int, condition: str) -> None:
        answer = self.ask("PATCH", at("c", key), b'{"n":%d}' % n, **self.condition(key, condition))
        assert answer.status == (self.refusal(key, condition, missing=404) or 200)
        if answer.status == 200:
            self.wrote(key, b'{"n":%d,' % n + self.held[key].body.split(b",", 1)[1], answer)

    @rule(key=KEYS, condition=CONDITIONS)
    def delete(self, key: str, condition: str) -> None:
        answer = self.ask("DELETE", at("c", key), None, **self.condition(key, condition))
        assert answer.status == (self.refusal(key, condition, missing=404) or 200)
        if answer.status == 200:
            del self.held[key]

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        whole, meta = self.ask("GET", at("c", key)), self.ask("GET", at("c", key, "meta"))
        status = 401 if not self.admitted else 200 if key in self.held else 404
        assert (whole.status, meta.status) == (status, status)
        if status == 200:
            held = self.held[key]
            assert whole.body == held.body
            assert whole.headers["ETag"] == f'"{held.etag}"'
            told = meta.json
            assert (told["version"], told["etag"], told["size"]) == (held.version, held.etag, len(held.body))

    @rule(
        sort=st.sampled_from(["createdAt", "updatedAt", "size", "key"]),
        page=st.integers(1, 4),
        limit=st.integers(1, 5),
        order=st.sampled_from(["asc", "desc"]),
    )
    def list(self, sort: str, page: int, limit: int, order: str) -> None:
        query = urlencode({"sortBy": sort, "page": page, "limit": limit, "sortOrder": order}, quote_via=quote)
        answer = self.ask("GET", f"{at('c')}?{query}")
        if not self.admitted:
            assert answer.status == 401
            return
        by: dict[str, Callable[[Held], int]] = {
            "createdAt": lambda held: held.made,
            "updatedAt": lambda held: held.written,
            "size": lambda held: len(held.body),
            "key": lambda held: 0,
        }
        expected = sorted(self.held, key=lambda key: (by[sort](self.held[key]), key.encode()), reverse=order == "desc")
        listed = answer.json
        assert [item["key"] for item in listed] == expected[(page - 1) * limit : page * limit]
        assert [item["value"] for item in listed] == [json.loads(self.held[item["key"]].body) for item in listed]
        assert answer.headers["X-Total-Count"] == str(len(self.held))

    @rule()
    def change_access(self) -> None:
        if self.admitted and not self.can_afford():
            return
        self.admitted = not self.admitted
        key: dict[str, object] = {"key": self.project, "id": "me", "project": self.project}
        self.access(key if self.admitted else {**key, "remove": True})
        eventually(self.serves)

    @invariant()
    def the_category_counts_what_is_there(self) -> None:
        if self.admitted and self.step:
            told = self.ask("GET", at()).json
            assert told == ([{"category": "c", "count": len(self.held)}] if self.held else [])


@pytest.mark.long
def test_the_dialect_behaves_like_a_dict_with_versions_expiry_and_orders(serve: Callable[..., Running]) -> None:
    try_out(Documents, serve())
