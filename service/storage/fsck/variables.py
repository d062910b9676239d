"""The check of variables: compares each variable with its name, and with all lists that it is in or should be
in.

The right entries are computed from the variable's own user, key and value, by the functions that writes use
(variables/variables.py). Each comparison is one script, which compares only if the variable has not changed since
it was read; otherwise the variable is read again. Keys are walked in steps of `STEP` members.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable

from service.redis.errors import Rejected
from service.storage import keys
from service.storage.errors import Changed
from service.storage.keys import Collection
from service.storage.scripts.runner import Runner
from service.storage.variables.variables import LIST, Claim, Variable, Variables, fixed, name, rest, valued

STEP = 200
MEMBER = 13  # bytes of a list's member: time and id
NUMBER = 6  # bytes of the length of a long list
LOOKS = 20  # attempts at a variable that keeps changing; each change repairs its entries


class Audit:
    """The check of one collection of variables."""

    def __init__(self, runner: Runner, collection: Collection, fault: Callable[[str], object], *, repair: bool) -> None:
        self._command = runner.command
        self._variables = Variables(runner)
        self._collection, self._fault, self._repair = collection, fault, repair

    async def run(self) -> None:
        """Check the lists first, so that their lengths are right; then variables, names and times of update."""
        collection = self._collection
        async for names, texts in self._scan("HSCAN", keys.lists(collection)):
            await asyncio.gather(*[self._list(*pair) for pair in zip(names, texts, strict=True)])
        async for members, _ in self._scan("ZSCAN", keys.listing(collection)):
            await asyncio.gather(*[self._member(each, [("of a long list", each)]) for each in members])
        async for ids, _ in self._scan("HSCAN", keys.variables(collection)):
            await asyncio.gather(*[self._claims(each) for each in ids])
        async for names, ids in self._scan("HSCAN", keys.names(collection)):
            await asyncio.gather(*[self._name(*pair) for pair in zip(names, ids, strict=True)])
        async for ids, _ in self._scan("ZSCAN", keys.newest(collection)):
            await asyncio.gather(*[self._moment(each) for each in ids])

    async def _scan(self, command: str, key: str) -> AsyncIterator[tuple[list[bytes], list[bytes]]]:
        cursor = b"0"
        while True:
            try:
                cursor, pairs = await self._command(command, key, cursor, "COUNT", STEP, key=key)
            except Rejected as error:
                self._fault(f"{key}: cannot be read: {error}")
                return
            yield pairs[::2], pairs[1::2]
            if cursor == b"0":
                return

    async def _seen(self, id: bytes) -> bytes | None:
        key = keys.variables(self._collection)
        seen: bytes | None = await self._command("HGET", key, id, key=key)
        return seen

    async def _list(self, list: bytes, text: bytes) -> None:
        """Check a list's text, and the members of a short list."""
        if len(list) != LIST:
            self._fault(f"{keys.lists(self._collection)} {list!r}: cannot be read: there is no such list")
            return
        await self._compare(b"", lambda seen: [("list", list)])
        if len(text) != NUMBER:
            whole = range(0, len(text) - MEMBER + 1, MEMBER)
            await asyncio.gather(*[self._member(list + text[start : start + MEMBER], []) for start in whole])

    async def _member(self, found: bytes, always: list[Claim]) -> None:
        id = found[-6:]
        await self._compare(
            id, lambda seen: always + ([] if seen and found in members(id, seen) else [("not in list", found)])
        )

    async def _claims(self, id: bytes) -> None:
        def claims(seen: bytes) -> list[Claim]:
            if not seen:
                return []
            in_lists = [("in list", each) for each in members(id, seen)]
            return [("named", named(id, seen)), ("updated", seen[:7]), *in_lists]

        await self._compare(id, claims)

    async def _name(self, found: bytes, id: bytes) -> None:
        await self._compare(id, lambda seen: [] if seen and named(id, seen) == found else [("not named", found)])

    async def _moment(self, id: bytes) -> None:
        await self._compare(id, lambda seen: [] if seen else [("not in newest", b"")])

    async def _compare(self, id: bytes, claims: Callable[[bytes], list[Claim]]) -> None:
        """Check the claims about a variable, which `claims` makes from the packed variable; report the faults."""
        for _ in range(LOOKS):
            found = await self._seen(id)
            seen = found or b""
            try:
                if found == b"":
                    raise ValueError("it is empty")
                claimed, right = claims(seen), packed(id, seen)
                if not claimed and right == seen:
                    return
                faults = await self._variables.audit(self._collection, id, seen, right, claimed, repair=self._repair)
            except Changed:
                continue
            except (Rejected, ValueError, IndexError, struct.error) as error:
                faults = [f"cannot be read: {error}"]
            for fault in faults:
                self._fault(
                    f"{keys.variables(self._collection)} {int.from_bytes(id, 'big') if id else 'lists'}: {fault}"
                )
            return


def named(id: bytes, seen: bytes) -> bytes:
    """Return the name of a variable."""
    variable = Variable.unpack(id, seen)
    return name(variable.user, variable.key)


def members(id: bytes, seen: bytes) -> list[bytes]:
    """Return all lists that should have a variable, each with the member that it should have."""
    variable = Variable.unpack(id, seen)
    user, key = variable.user, variable.key
    lists = fixed(user, key) + valued(user, key, variable.value)
    return [lists[start : start + LIST] + seen[:7] + id for start in range(0, len(lists), LIST)]


def packed(id: bytes, seen: bytes) -> bytes:
    """Return the packed variable as it should be: its lists are computed again, the rest stays."""
    if not seen:
        return b""
    found = Variable.unpack(id, seen)
    return seen[:14] + rest(found.user, found.key, found.value, valued(found.user, found.key, found.value))
