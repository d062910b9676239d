"""Variables: short texts under a user and a key, listed newest first through any filter, at any number.

A collection of variables is five keys, whatever their number. A hash has the variables by id, packed as below; a hash
has the ids by *name*, the digest of user and key; a sorted set, `newest`, has all ids by the moment of the last update.
What one filter selects is a *list* with a name of its own, 15 bytes; a variable is in up to five: of its key, user,
value, key and value, user and value. There it is a *member*, moment and id, 13 bytes. The few members of a short list
are one text in the hash `lists`; those of a long one are in the sorted set `listing`, each behind the list's name, so
that they stand together, sorted by moment and id, and `lists` has their number (lua/include/move_between_lists.lua).

| filter | cost for Redis, n variables |
| --- | --- |
| none | two ranks and one range: O(log n + page) |
| user; key; value; key and value; user and value | the same, or one text of at most 32 members |
| each of them with dates | the same: dates only move the two ranks |
| user and key, with or without value and dates | one variable by its name: O(1) |

A packed variable: updated (7 bytes), created (7; both us, big-endian), user (6; 0 = nobody's), the length of what
follows (1), the names of the lists that it is in for its value, the length of the key (2), key, value.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from struct import Struct
from typing import Any, NamedTuple, Self

from service.storage import keys
from service.storage.keys import Collection
from service.storage.records.write import Write
from service.storage.scripts.idempotent import idempotent, nothing
from service.storage.scripts.runner import Runner
from service.storage.variables.id_allocator import IdAllocator

KEY_BYTES = 1_020  # 255 characters of the longest kind
VALUE_BYTES = 65_536  # a script copies its arguments: 64 KB cost 0.3 ms on 7.0, 0.1 ms on 6.2
PAGE = 100  # variables in a page
INLINE_BYTES = 200_000  # of packed variables that a page brings along: 0.7 ms of Redis's time
PORTION = 10  # variables read at once that a page did not bring along: at most 0.7 MB
LIST = 15  # bytes of a list's name: nobody makes two texts that have one; with a member it is 28, and takes 32 in Redis
LAST = (1 << 56) - 1  # the latest moment that a member can hold (us): in the year 4253
NUMBER = (1 << 48) - 1  # the largest id, of users too

_head = Struct(">7s7s6sB").unpack_from  # updated, created, user, the length of the lists
_size = Struct(">H")


Claim = tuple[str, bytes]  # what lua/audit.lua checks of a variable or a list, and the name, moment or list meant


class Filter(NamedTuple):
    """What is asked for; None where anything will do. Moments are in us, `until` is exclusive."""

    user: int | None = None
    key: str | None = None
    value: str | None = None
    since: int = 0
    until: int = LAST


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that was read: times in microseconds since the epoch, `user` 0 where it is nobody's."""

    id: int
    user: int
    key: str
    value: str
    created: int
    updated: int

    @classmethod
    def unpack(cls, id: bytes, packed: bytes) -> Self:
        updated, created, user, lists = _head(packed)
        start = 21 + lists
        (length,) = _size.unpack_from(packed, start)
        middle = start + 2 + length
        key, value = packed[start + 2 : middle].decode(), packed[middle:].decode()
        return cls(_int(id), _int(user), key, value, _int(created), _int(updated))

    def selected(self, by: Filter) -> bool:
        return (
            by.user in (None, self.user)
            and by.key in (None, self.key)
            and by.value in (None, self.value)
            and by.since <= self.updated < by.until
        )


def name(user: int, key: str) -> bytes:
    """How a variable is found by its user and key."""
    return blake2b(_said(_user(user), (key,)), digest_size=16).digest()


def fixed(user: int, key: str) -> bytes:
    """The names of the lists that a variable is in whatever its value, `LIST` bytes each."""
    return _list(b"k", key) + (_list(b"u" + _user(user)) if user else b"")


def valued(user: int, key: str, value: str) -> bytes:
    """Of those that it is in for its value."""
    return _list(b"v", value) + _list(b"x", key, value) + (_list(b"y" + _user(user), value) if user else b"")


def selecting(by: Filter) -> bytes:
    """The list that a filter selects, b"" for all variables. It is not for one of user and key, which is one variable
    at the most."""
    if by.user is not None:
        return _list(b"u" + _user(by.user)) if by.value is None else _list(b"y" + _user(by.user), by.value)
    if by.key is not None:
        return _list(b"k", by.key) if by.value is None else _list(b"x", by.key, by.value)
    return b"" if by.value is None else _list(b"v", by.value)


def rest(user: int, key: str, value: str, lists: bytes) -> bytes:
    """All that a packed variable has behind its creation."""
    named = key.encode()
    return b"%b%c%b%b%b%b" % (_user(user), len(lists), lists, _size.pack(len(named)), named, value.encode())


def _list(what: bytes, *texts: str) -> bytes:
    return blake2b(_said(what, texts), digest_size=LIST).digest()


def _said(what: bytes, texts: Iterable[str]) -> bytes:
    for text in texts:
        encoded = text.encode()
        what += b"%d:%b" % (len(encoded), encoded)
    return what


def _user(number: int) -> bytes:
    return number.to_bytes(6, "big")


def _int(text: bytes) -> int:
    return int.from_bytes(text, "big")


class Variables:
    """The operations on variables.

    `subject` is the caller's name in the collection's grants. Of a `Write`, collection, subject and idempotency count.
    Every method raises Denied, Undeclared and Unavailable, every write OutcomeUnknown as well.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._run, self._command = runner.run, runner.command
        self._ids = IdAllocator(runner)

    @idempotent(lambda reply, remark: _int(reply))
    async def assign(self, write: Write, user: int, key: str, value: str) -> int:
        """Set a variable and return its id. `key` has at most `KEY_BYTES`, `value` at most `VALUE_BYTES`."""
        collection = write.collection
        number = await self._ids.take(collection.dialect)
        lists = valued(user, key, value)
        reply = await self._run(
            "assign",
            _keys(collection),
            write.idempotency,
            subject=write.subject,
            name=name(user, key),
            proposed=number.to_bytes(6, "big"),
            fixed=fixed(user, key),
            valued=lists,
            rest=rest(user, key, value, lists),
        )
        id = _int(reply)
        if id != number:  # the variable was there
            self._ids.give_back(collection.dialect, number)
        return id

    async def select(
        self, collection: Collection, subject: str, by: Filter, offset: int, limit: int
    ) -> tuple[int, list[Variable]]:
        """How many variables a filter selects, and one page of them, newest first, ties by id; `limit` is 1 to 100.

        All of one moment, but for what a page of large values leaves to be read after it: that is shown as it is then,
        and left out if it has gone.
        """
        if by.user is not None and by.key is not None:
            found = await self.recall(collection, subject, by.user, by.key)
            listed = [found] if found and found.selected(by) else []
            return len(listed), listed[offset : offset + limit]
        total, ids, packed = await self._run(
            "select",
            (collection.acl, keys.variables(collection), *_lists(collection)),
            until=_for_ever,
            subject=subject,
            list=selecting(by),
            since=by.since.to_bytes(7, "big"),
            before=by.until.to_bytes(7, "big"),
            offset=offset,
            limit=limit,
            budget=INLINE_BYTES,
        )
        for at in range(len(packed), len(ids), PORTION):
            key = keys.variables(collection)
            packed += await self._command("HMGET", key, *ids[at : at + PORTION], key=key)
        return total, [Variable.unpack(id, each) for id, each in zip(ids, packed, strict=True) if each]

    async def recall(self, collection: Collection, subject: str, user: int, key: str) -> Variable | None:
        """One variable, or None where there is none."""
        names = (collection.acl, keys.variables(collection), keys.names(collection))
        reply = await self._run("recall", names, until=_for_ever, subject=subject, name=name(user, key))
        return Variable.unpack(*reply) if reply else None

    @idempotent(nothing)
    async def drop(self, write: Write, user: int, key: str) -> None:
        """Remove one variable. Raises NotFound."""
        names, variable = _keys(write.collection), name(user, key)
        await self._run("drop", names, write.idempotency, subject=write.subject, name=variable, fixed=fixed(user, key))

    @idempotent(lambda reply, remark: int(reply))
    async def clear(self, write: Write) -> int:
        """Remove all variables of a collection in one step, and return how many there were."""
        return int(await self._run("clear", _keys(write.collection), write.idempotency, subject=write.subject))

    async def audit(
        self, collection: Collection, id: bytes, seen: bytes, right: bytes, claims: Iterable[Claim], *, repair: bool
    ) -> list[str]:
        """What is said wrongly of one variable, or of a list (then `id` is empty), a text each; put right if so wished.
        `seen` is how the variable was packed when it was looked at, `right` how it is to be, both empty where there is
        none; `claims` are as lua/audit.lua reads them. Raises Changed where it is not as it was seen."""
        names = (keys.variables(collection), keys.names(collection), *_lists(collection))
        faults = await self._run(
            "audit", names, id=id, seen=seen, right=right, repair=int(repair), claims=[*chain.from_iterable(claims)]
        )
        return [fault.decode() for fault in faults]


def _for_ever(reply: Any) -> int:
    """Variables do not expire."""
    return 0


def _keys(collection: Collection) -> tuple[str, ...]:
    return collection.acl, keys.variables(collection), keys.names(collection), *_lists(collection)


def _lists(collection: Collection) -> tuple[str, str, str]:
    return keys.newest(collection), keys.lists(collection), keys.listing(collection)
