"""Variables, read for an export and restored with their ids and times.

A variable keeps its id, unless another variable of the collection has it. Ids that are allotted later are higher than
the restored ones. Restoring a variable again changes nothing.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from service.storage import keys
from service.storage.errors import Changed, Unavailable
from service.storage.keys import Collection
from service.storage.outcomes import Outcome
from service.storage.scripts.fan_out import all_of
from service.storage.scripts.runner import Runner
from service.storage.variables.id_allocator import IdAllocator
from service.storage.variables.variables import Variable, fixed, name, rest, valued

STEP = 100  # variables in one command: at most 6.6 MB, usually 10 KB
ATTEMPTS = 100  # attempts at a variable that others keep changing

Restored = tuple[Collection, Variable]


class VariableTransfer:
    """Variables, read for an export and restored."""

    def __init__(self, runner: Runner) -> None:
        self._command, self._run = runner.command, runner.run
        self._ids = IdAllocator(runner)
        self._highest: dict[str, int] = {}  # by dialect: ids up to this one are not allotted any more

    async def walk(self, collection: Collection) -> AsyncIterator[list[Variable]]:
        """Read all variables of a collection, a portion at a time."""
        key, cursor = keys.variables(collection), b"0"
        while True:
            cursor, pairs = await self._command("HSCAN", key, cursor, "COUNT", STEP, key=key)
            yield [Variable.unpack(*pair) for pair in zip(pairs[::2], pairs[1::2], strict=True)]
            if cursor == b"0":
                return

    async def restore_many(self, wanted: Sequence[Restored], *, replace: bool) -> list[Outcome]:
        """Restore variables, and return the outcome of each. `replace`: also if a different one is stored.

        Raises Unavailable, OutcomeUnknown, QuotaExceeded (Redis's memory is full): it may be repeated then.
        """
        for dialect in {collection.dialect for collection, _ in wanted}:
            highest = max(variable.id for collection, variable in wanted if collection.dialect == dialect)
            if highest > self._highest.get(dialect, 0):
                await self._ids.advance(keys.variable(dialect), highest)
                self._highest[dialect] = highest
        ids = await all_of(
            self._command("HGET", keys.names(place), name(one.user, one.key), key=keys.names(place))
            for place, one in wanted
        )
        return [await self._restore(*one, id, replace=replace) for one, id in zip(wanted, ids, strict=True)]

    async def _restore(self, collection: Collection, wanted: Variable, had: bytes | None, *, replace: bool) -> Outcome:
        key, proposed = keys.variables(collection), wanted.id
        for _ in range(ATTEMPTS):
            seen = b"" if had is None else await self._command("HGET", key, had, key=key) or b""
            found = Variable.unpack(had or b"", seen) if seen else None
            if found is not None and state(found) == state(wanted):
                return Outcome.PRESENT
            if found is not None and not replace:
                return Outcome.DIFFERENT
            with suppress(Changed):
                if await self.reassign(collection, wanted, proposed, seen):
                    return Outcome.STORED
                proposed = found.id if found is not None else await self._ids.take(collection.dialect)
            names = keys.names(collection)
            had = await self._command("HGET", names, name(wanted.user, wanted.key), key=names)
        raise Unavailable("the variable keeps changing")

    async def reassign(self, collection: Collection, wanted: Variable, id: int, seen: bytes) -> bool:
        """Restore one variable under an id, if it is still as it was seen. Return False if another one has the id.

        Raises Changed.
        """
        user, key, value = wanted.user, wanted.key, wanted.value
        times = wanted.updated.to_bytes(7, "big") + wanted.created.to_bytes(7, "big")
        names = (
            keys.variables(collection),
            keys.names(collection),
            keys.newest(collection),
            keys.lists(collection),
            keys.listing(collection),
        )
        stored = await self._run(
            "reassign",
            names,
            id=id.to_bytes(6, "big"),
            seen=seen,
            name=name(user, key),
            fixed=fixed(user, key),
            moment=wanted.updated,
            packed=times + rest(user, key, value, valued(user, key, value)),
        )
        return bool(stored)


def state(variable: Variable) -> tuple[object, ...]:
    """Return everything that distinguishes two variables, except the id, which another one may have had already."""
    return variable.user, variable.key, variable.value, variable.created, variable.updated
