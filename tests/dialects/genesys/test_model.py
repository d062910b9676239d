"""Compares the dialect over HTTP with dicts in any sequence of creates, updates, deletes and reads.

Users may have areas with the same id. In between, single keys expire, Redis is restarted, and its functions are
flushed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.dialects.genesys.client import FORM, MULTIPART, File, at, multipart
from tests.dialects.machine import Machine, try_out
from tests.http_client import Reply
from tests.running import Running

LONG, SHORT = 600, 1  # seconds to live
MANY = 4  # areas whose keys expire at the same time

USERS = st.sampled_from(["", "u", "v"])
IDS = st.sampled_from(["a", "{x}", "b/c", "é"])
KEYS = st.sampled_from(["k", "l", "a b", "{k}", "é", "_hidden"])
CONTENTS: dict[str, str | File] = {
    "nothing": "",
    "a digit": "1",
    "two lines": "é\r\n",
    "quotes": '"\\',
    "a long text": "x" * 9_000,
    "a longer text": "é" * 40_000,
    "an empty file": ("f.txt", "text/plain", b""),
    "a short file": ("f.txt", "text/plain", b"\r\n--"),
    "a file": ("a b.pdf", "application/pdf", bytes(range(256)) * 40),
    "a long file": ("f.txt", "text/plain", bytes(range(256)) * 1_200),
}
FIELDS = st.lists(st.tuples(KEYS, st.sampled_from(list(CONTENTS))), max_size=4)

Fields = list[tuple[str, str]]  # key, name of its content


@dataclass
class Held:
    """The content of a key of the model."""

    content: str
    short: bool

    @property
    def value(self) -> str | File:
        return CONTENTS[self.content]


@dataclass
class Area:
    """An area of the model. `short`: it has the short lifetime while it has no key."""

    short: bool
    keys: dict[str, Held] = field(default_factory=dict)

    def take(self, fields: Fields, seconds: int) -> None:
        taken = {key: Held(content, seconds == SHORT) for key, content in fields if not key.startswith("_")}
        if not self.keys and not taken:
            self.short = seconds == SHORT
        self.keys |= taken

    @property
    def ends_soon(self) -> bool:
        return all(held.short for held in self.keys.values()) if self.keys else self.short


class Areas(Machine):
    def __init__(self) -> None:
        super().__init__()
        self.mark = uuid4().hex
        self.areas: dict[tuple[str, str], Area] = {}
        self.made: list[str] = []  # ids that the service has chosen

    def serves(self) -> bool:
        return self.ask("GET", at("nothing")).status == 404

    def by(self, user: str, method: str, *names: str, fields: Fields | None = None) -> Reply:
        """Send a request of a user, and return the answer."""
        headers = {"gms_user": f"{user}-{self.mark}"} if user else {}
        body = None
        if fields is not None:
            pairs = [(key, CONTENTS[content]) for key, content in fields]
            plain = [(key, value) for key, value in pairs if isinstance(value, str)]
            whole = len(plain) == len(pairs) and len(pairs) % 2 == 1
            body = urlencode(plain).encode() if whole else multipart(*pairs)
            headers["Content-Type"] = FORM if whole else MULTIPART
        return self.send(method, at(*names), body, headers)

    def found(self, user: str, id: str) -> tuple[str, str] | None:
        """Return the area that an id means for a user: the user's own one, if there is one."""
        own, plain = (user, id), ("", id)
        return own if user and own in self.areas else plain if id in self.made and plain in self.areas else None

    def pick(self, id: str, number: int) -> str:
        """Return one of the ids that the service has chosen, or the given one."""
        return self.made[number % len(self.made)] if self.made and number % 2 else id

    @rule(user=USERS, fields=FIELDS)
    def create(self, user: str, fields: Fields, seconds: int = LONG) -> None:
        answer = self.by(user, "POST", str(seconds), fields=fields)
        assert answer.status == 200, answer
        id = answer.json["id"]
        assert id not in self.made
        self.made.append(id)
        area = self.areas["", id] = Area(seconds == SHORT)
        area.take(fields, seconds)

    @rule(user=USERS, id=IDS, number=st.integers(0, 9), fields=FIELDS)
    def create_custom(self, user: str, id: str, number: int, fields: Fields) -> None:
        id = self.pick(id, number)
        answer = self.by(user, "POST", "custom", id, str(LONG), fields=fields)
        assert answer.status == (200 if user else 400), answer
        if user:
            assert answer.json == {"id": id}
            area = self.areas[user, id] = Area(short=False)
            area.take(fields, LONG)

    @rule(user=USERS, id=IDS, number=st.integers(0, 9), fields=FIELDS)
    def update(self, user: str, id: str, number: int, fields: Fields, seconds: int = LONG) -> None:
        id = self.pick(id, number)
        place = self.found(user, id)
        answer = self.by(user, "POST", id, str(seconds), fields=fields)
        assert answer.status == (200 if place else 404), answer
        if place:
            assert answer.json == {}
            self.areas[place].take(fields, seconds)

    @rule(user=USERS, id=IDS, number=st.integers(0, 9))
    def delete(self, user: str, id: str, number: int) -> None:
        id = self.pick(id, number)
        place = self.found(user, id)
        answer = self.by(user, "DELETE", id)
        assert answer.status == (200 if place else 404), answer
        if place:
            del self.areas[place]

    @rule(user=USERS, id=IDS, number=st.integers(0, 9), key=KEYS)
    def read(self, user: str, id: str, number: int, key: str) -> None:
        id = self.pick(id, number)
        place = self.found(user, id)
        whole, one = self.by(user, "GET", id), self.by(user, "GET", id, key)
        if place is None:
            assert (whole.status, one.status) == (404, 404)
            return
        held = self.areas[place].keys
        base = self.running.url + at("binary", id)
        said = {
            key: each.value if isinstance(each.value, str) else base + at(key).removeprefix(at())
            for key, each in held.items()
        }
        assert (whole.status, whole.json) == (200, said)
        assert (one.status, one.body.decode()) == (200, said[key]) if key in held else one.status == 404

    @rule(user=USERS, id=IDS, number=st.integers(0, 9), key=KEYS)
    def read_file(self, user: str, id: str, number: int, key: str) -> None:
        id = self.pick(id, number)
        place = self.found(user, id)
        answer = self.by(user, "GET", "binary", id, key)
        value = self.areas[place].keys[key].value if place and key in self.areas[place].keys else None
        if value is None or isinstance(value, str):
            assert answer.status == 404
            return
        name, type, content = value
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, content, type)
        assert name in answer.headers["Content-Disposition"]

    @rule(user=USERS, fields=FIELDS, key=KEYS, content=st.sampled_from(list(CONTENTS)))
    def let_end(self, user: str, fields: Fields, key: str, content: str) -> None:
        """Add keys with a short lifetime to existing areas and to a new one; an update makes one key live longer."""
        if not self.can_afford():
            return
        before, begun = list(self.areas)[:MANY], time.monotonic()
        try:
            self.add_short_keys(before, user, fields, key, content)
        except AssertionError:
            if time.monotonic() < begun + SHORT:
                raise
        if time.monotonic() > begun + 0.9 * SHORT:
            reject()  # on this slow machine, a key may have expired before it was read
        time.sleep(SHORT)
        self.areas = {place: area for place, area in self.areas.items() if not area.ends_soon}
        for area in self.areas.values():
            area.keys = {key: held for key, held in area.keys.items() if not held.short}
        self.read_all([*before, ("", self.made[-1])], key)

    def add_short_keys(self, places: list[tuple[str, str]], user: str, fields: Fields, key: str, content: str) -> None:
        """Add keys with a short lifetime, and read them all."""
        for place in places:
            self.update(*place, 0, fields, SHORT)
        self.create(user, fields, SHORT)
        for place in [*places, *self.areas][:1]:
            self.update(*place, 0, [(key, content)])
        self.read_all([*places, ("", self.made[-1])], key)

    def read_all(self, places: list[tuple[str, str]], key: str) -> None:
        for place in places:
            self.read(*place, 0, key)


@pytest.mark.long
def test_areas_behave_like_dicts_whose_keys_expire(serve: Callable[..., Running]) -> None:
    try_out(Areas, serve(), costly=6)
