"""Variables: any number of short texts under a user and a key, listed newest first with any filter.

A collection of variables has five keys, however many variables there are. The hash `variables` has the packed
variables by id. The hash `names` has the ids by *name*, a digest of user and key. The sorted set `newest` has all ids
by the time of the last update. The variables that one filter selects are a *list*, which has a name of 15 bytes. A
variable is in up to five lists: those of its key, user, value, key and value, user and value. In a list it is a
*member* of 13 bytes: time of update and id. A short list is one text of members in the hash `lists`. The members of a
long list are in the sorted set `listing`, each behind the list's name, so they are adjacent and sorted by time and
id; `lists` has their number (lua/include/move_between_lists.lua).

| filter | cost for Redis, n variables |
| --- | --- |
| none | two ranks and one range: O(log n + page) |
| user; key; value; key and value; user and value | the same, or one text of at most 32 members |
| each of them with dates | the same: dates only move the two ranks |
| user and key, with or without value and dates | one variable by its name: O(1) |

A packed variable is: updated (7 bytes), created (7; both us, big-endian), user (6; 0 = no user), the length of
the next field (1), the names of its lists for its value, the length of the key (2), key, value.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from struct import Struct
from typing import NamedTuple, Self

from service.storage import keys
from service.storage.errors import AlreadyExists
from service.storage.keys import Collection
from service.storage.records.write import Write
from service.storage.scripts.idempotent import idempotent, nothing
from service.storage.scripts.reply import for_ever
from service.storage.scripts.runner import Runner
from service.storage.variables.id_allocator import IdAllocator

KEY_BYTES = 1_020  # 255 characters of 4 bytes each
VALUE_BYTES = 65_536  # limit of a value: scripts copy their arguments, which takes 0.3 ms for 64 KB
PAGE = 100  # variables in a page
INLINE_BYTES = 200_000  # of packed variables in the reply with a page: 0.7 ms of Redis's time
PORTION = 10  # variables that do not fit into the reply, read with one command: at most 0.7 MB
LIST = 15  # bytes of a list's name, without collisions in practice; name and member are 28, for which Redis takes 32
LAST = (1 << 56) - 1  # the latest time that a member can hold (us): in the year 4253
NUMBER = (1 << 48) - 1  # the largest id of a variable or user

_head = Struct(">7s7s6sB").unpack_from  # updated, created, user, the length of the lists
_size = Struct(">H")


Claim = tuple[str, bytes]  # argument of lua/audit.lua: what should be true, and of which name, time or list


class Filter(NamedTuple):
    """The variables to select; None selects any. Times are in us; `until` is exclusive."""

    user: int | None = None
    key: str | None = None
    value: str | None = None
    since: int = 0
    until: int = LAST


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that was read: times in microseconds since the epoch; `user` 0 is no user."""

    id: int
    user: int
    key: str
    value: str
    created: int
    updated: int

    @classmethod
    def unpack(cls, id: bytes, packed: bytes) -> Self:
        """Unpack a variable. Raises struct.error, IndexError, UnicodeDecodeError if it is damaged."""
        updated, created, user, lists = _head(packed)
        start = 21 + lists
        (length,) = _size.unpack_from(packed, start)
        middle = start + 2 + length
        key, value = packed[start + 2 : middle].decode(), packed[middle:].decode()
        return cls(_int(id), _int(user), key, value, _int(created), _int(updated))

    def selected(self, by: Filter) -> bool:
        """Return True if a filter selects this variable."""
        return (
            by.user in (None, self.user)
            and by.key in (None, self.key)
            and by.value in (None, self.value)
            and by.since <= self.updated < by.until
        )


@lru_cache(maxsize=2048)  # at most 3 MB, with keys of 1 KB; a digest takes 1 us
def name(user: int, key: str) -> bytes:
    """Return the name of a variable, by which it is found: a digest of its user and key."""
    return blake2b(_user(user) + _framed(key), digest_size=16).digest()


@lru_cache(maxsize=2048)
def fixed(user: int, key: str) -> bytes:
    """Return the names of the lists that do not depend on a variable's value, `LIST` bytes each."""
    return _list(b"k" + _framed(key)) + (_list(b"u" + _user(user)) if user else b"")


def valued(user: int, key: str, value: str) -> bytes:
    """Return the names of the lists that depend on a variable's value, `LIST` bytes each."""
    framed = _framed(value)
    names = _list(b"v" + framed) + _list(b"x" + _framed(key) + framed)
    return names + _list(b"y" + _user(user) + framed) if user else names


def selecting(by: Filter) -> bytes:
    """Return the name of the list that a filter selects, b"" for all variables.

    A filter of user and key selects at most one variable, so there is no list for it.
    """
    value = b"" if by.value is None else _framed(by.value)
    if by.user is not None:
        return _list((b"y" if value else b"u") + _user(by.user) + value)
    if by.key is not None:
        return _list((b"x" if value else b"k") + _framed(by.key) + value)
    return _list(b"v" + value) if value else b""


def rest(user: int, key: str, value: str, lists: bytes) -> bytes:
    """Return the packed variable after its time of creation."""
    named = key.encode()
    return b"%b%c%b%b%b%b" % (_user(user), len(lists), lists, _size.pack(len(named)), named, value.encode())


def _list(filter: bytes) -> bytes:
    return blake2b(filter, digest_size=LIST).digest()


def _framed(text: str) -> bytes:
    """Return a text with its length before it, so that two joined texts can be split in only one way."""
    encoded = text.encode()
    return b"%d:%b" % (len(encoded), encoded)


def _user(number: int) -> bytes:
    return number.to_bytes(6, "big")


def _int(text: bytes) -> int:
    return int.from_bytes(text, "big")


class Variables:
    """The operations on variables.

    `subject` is the caller's name in the collection's grants. The fields of a `Write` that count are collection,
    subject and idempotency.
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
        lists = valued(user, key, value)
        while True:
            number = await self._ids.take(collection.dialect)
            with suppress(AlreadyExists):  # an imported variable has this id
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
                break
        id = _int(reply)
        if id != number:  # the variable existed already
            self._ids.give_back(collection.dialect, number)
        return id

    async def reserve(self, dialect: str, last: int) -> tuple[int, int]:
        """Reserve the ids up to `last` for imported variables; see `IdAllocator.reserve_through`."""
        return await self._ids.reserve_through(dialect, last)

    async def fresh_id(self, dialect: str) -> int:
        """Return an id that no variable has or had."""
        return await self._ids.take(dialect)

    async def select(
        self, collection: Collection, subject: str, by: Filter, offset: int, limit: int
    ) -> tuple[int, list[Variable]]:
        """Return the number of variables that a filter selects, and one page of them, newest first, then by id.

        `limit` is 1 to 100. Number and page are of one moment, except for large values, which are read after the
        page: they are as they are then, and left out if they are gone.
        """
        if by.user is not None and by.key is not None:
            found = await self.recall(collection, subject, by.user, by.key)
            listed = [found] if found and found.selected(by) else []
            return len(listed), listed[offset : offset + limit]
        total, ids, packed = await self._run(
            "select",
            (collection.acl, keys.variables(collection), *_lists(collection)),
            until=for_ever,
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
        """Read one variable; return None if there is none."""
        names = (collection.acl, keys.variables(collection), keys.names(collection))
        reply = await self._run("recall", names, until=for_ever, subject=subject, name=name(user, key))
        return Variable.unpack(*reply) if reply else None

    @idempotent(nothing)
    async def drop(self, write: Write, user: int, key: str) -> None:
        """Remove one variable. Raises NotFound."""
        names, variable = _keys(write.collection), name(user, key)
        await self._run("drop", names, write.idempotency, subject=write.subject, name=variable, fixed=fixed(user, key))

    @idempotent(lambda reply, remark: int(reply))
    async def clear(self, write: Write) -> int:
        """Remove all variables of a collection in one step, and return their number."""
        return int(await self._run("clear", _keys(write.collection), write.idempotency, subject=write.subject))

    async def audit(
        self, collection: Collection, id: bytes, seen: bytes, right: bytes, claims: Iterable[Claim], *, repair: bool
    ) -> list[str]:
        """Check the index entries of one variable, or of a list if `id` is empty; repair them if asked. Return
        the faults.

        `seen` is the packed variable as it was read, `right` as it should be; both are empty if there is none.
        lua/audit.lua defines the claims. Raises Changed if the variable is no longer as it was seen.
        """
        names = (keys.variables(collection), keys.names(collection), *_lists(collection))
        faults = await self._run(
            "audit", names, id=id, seen=seen, right=right, repair=int(repair), claims=[*chain.from_iterable(claims)]
        )
        return [fault.decode() for fault in faults]


@lru_cache(maxsize=2048)
def _keys(collection: Collection) -> tuple[str, ...]:
    return collection.acl, keys.variables(collection), keys.names(collection), *_lists(collection)


def _lists(collection: Collection) -> tuple[str, str, str]:
    return keys.newest(collection), keys.lists(collection), keys.listing(collection)
