"""Several writes of one collection in one atomic step: `lua/batch.lua`.

Redis has no MD5, and a merge patch may take longer than a script may. So the worker reads the records that are patched
or whose etag is compared, and applies the batch to them. The script then requires exactly the states that were read,
and decides everything else. If a record has changed in between, the worker reads again.
"""

from collections.abc import Container, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Literal

from msgspec import Struct

from service.storage.errors import Changed, TooLarge, Unavailable
from service.storage.journal.change import start
from service.storage.keys import Collection
from service.storage.records import offload
from service.storage.records.conditions import ABSENT, ANYTHING, PRESENT, UNCONDITIONAL, Condition, exactly
from service.storage.records.record import Listed, etag
from service.storage.records.records import ATTEMPTS, KEEP, Records
from service.storage.records.splice import splice
from service.storage.records.write import Write
from service.storage.scripts.bounds import BATCH_BYTES
from service.storage.scripts.fan_out import all_of
from service.storage.scripts.idempotent import idempotent
from service.storage.scripts.runner import Runner

Verb = Literal["create", "put", "patch", "delete"]  # as lua/include/decided.lua reads them
NEVER = "-"  # a condition for scripts that holds for no record


class Operation(Struct):
    """One operation of a batch. `body` is the document, or the merge patch; `lifetime` is as in `Write`."""

    op: Verb
    id: str
    body: bytes = b""
    lifetime: str = ""
    condition: Condition = UNCONDITIONAL


class Outcome(Struct):
    """The result of one operation: the record's version, expiry (ms) and etag; 0, 0 and "" after a delete."""

    version: int
    expires: int
    etag: str


class Found(Struct):
    """A record that was read: the state that the script must find, the etag, and the body if it is needed."""

    state: str
    etag: str = ""
    body: bytes | None = None


class Plan(Struct):
    """The arguments of the script, eight texts for each operation; the etags of the bodies, and their bytes in all."""

    arguments: list[str | bytes]
    etags: list[str]
    size: int = 0
    failed: bool = False


class Batches:
    """Batches of writes, in collections without scopes."""

    def __init__(self, runner: Runner, records: Records) -> None:
        self._runner, self._records = runner, records

    @idempotent(lambda reply, remark: _outcomes(reply, remark.decode().split(",")))
    async def batch(self, write: Write, operations: Sequence[Operation], limit: int) -> list[Outcome]:
        """Do all operations or none; each sees the results of earlier ones. `limit` is the largest document, in bytes.

        The fields of `write` that count are collection, caller, quota, journal and idempotency.
        Raises OperationRefused, QuotaExceeded.
        """
        collection = write.collection
        patched = {each.id for each in operations if each.op == "patch"}
        # A journal has the etag of what was deleted.
        deleted = {each.id for each in operations if each.op == "delete" and write.journal is not None}
        wanted = patched | deleted | {each.id for each in operations if _etags(each.condition)}
        async with AsyncExitStack() as held:
            if wanted:
                await held.enter_async_context(self._records.rewriting.turn(map(collection.record, wanted)))
            for _ in range(ATTEMPTS):
                found = await self._read(collection, sorted(wanted), patched) if wanted else {}
                plan = await _planned(write, operations, found, limit)
                with suppress(Changed):
                    return await self._commit(write, operations, plan)
        raise Unavailable("the records keep changing; nothing was done")

    async def _commit(self, write: Write, operations: Sequence[Operation], plan: Plan) -> list[Outcome]:
        collection = write.collection
        if write.idempotency is not None:
            write.idempotency.remark = ",".join(plan.etags).encode()
        # The operations after one that fails are not sent.
        records = [collection.record(each.id) for each in operations[: len(plan.etags)]]
        arguments: dict[str, Any] = {"caller": write.caller, "operations": plan.arguments, "journal": ""}
        if write.journal is not None:
            arguments["journal"] = write.journal.opening(write.caller)
        reply = await self._records.admitted("batch", (*collection.tail, *records), arguments, write)
        if write.quota:
            await self._records.adjust_usage(collection, reply[0], reply[1])
        return _outcomes(reply, plan.etags)

    async def _read(self, collection: Collection, ids: Sequence[str], patched: Container[str]) -> dict[str, Found]:
        """Read the current records, a portion at a time; of large ones only the etag is kept."""
        found = dict.fromkeys(ids, Found(ABSENT))
        keys = map(collection.record, ids)
        sizes = await all_of([self._runner.command("STRLEN", key, key=key) for key in keys])
        listed = [Listed(id, size) for id, size in zip(ids, sizes, strict=True) if size]
        async for portion in self._records.read_listed(collection, listed):
            for id, record in portion:
                needed = id in patched and record.size <= BATCH_BYTES
                found[id] = Found(exactly(record), record.etag, record.body if needed else None)
        return found


async def _planned(write: Write, operations: Sequence[Operation], found: dict[str, Found], limit: int) -> Plan:
    """Apply a batch to the records that were read, up to the first operation that fails because of them."""
    plan = Plan([], [])
    now: dict[str, Found] = {}
    for each in operations:
        known = now.get(each.id) or found.get(each.id)
        state = found[each.id].state if each.id in found and each.id not in now else ANYTHING
        body, failure = each.body, ""
        try:
            if known is not None:
                body = await _applied(each, known, limit)
            plan.size += len(body)
            if plan.size > BATCH_BYTES:
                raise TooLarge(f"the documents of the batch have more than {BATCH_BYTES} bytes")
        except (Changed, TooLarge) as refusal:
            failure, body = f"{refusal.word} {refusal}", b""
        tag = "" if each.op == "delete" else etag(body)
        entry: bytes | str = ""
        if write.journal is not None:
            left = known.etag if each.op == "delete" and known is not None else tag
            entry = start(each.op, each.id, write.caller, len(body), left)
        lifetime = KEEP if each.op == "patch" else each.lifetime
        plan.arguments += (each.op, each.id, lifetime, _literal(each.condition), state, failure, entry, body)
        plan.etags.append(tag)
        if failure:
            break
        if known is not None:
            now[each.id] = Found(ABSENT if each.op == "delete" else "", tag, body)
    return plan


async def _applied(operation: Operation, known: Found, limit: int) -> bytes:
    """Return the body that an operation stores in the record that the worker knows. Raises Changed, TooLarge.

    If there is no record, the script refuses an operation that needs one.
    """
    if known.state == ABSENT:
        return operation.body
    if _etags(operation.condition) and known.etag not in (operation.condition.match or ()):
        raise Changed("the record has another etag")
    if operation.op != "patch":
        return operation.body
    if known.body is None:
        raise TooLarge(f"the document is larger than the {BATCH_BYTES} bytes that a batch may store")
    body: bytes = await offload.run(splice, known.body, operation.body, limit)
    return body


def _etags(condition: Condition) -> bool:
    """Return True if the worker has to compare an etag."""
    return condition.match is not None and "*" not in condition.match


def _literal(condition: Condition) -> str:
    """Return the part of a condition that the script decides: if the record must exist or not."""
    if condition.match is None:
        return ABSENT if condition.none_match is not None else ANYTHING
    return PRESENT if condition.none_match is None else NEVER


def _outcomes(reply: Sequence[int], etags: Sequence[str]) -> list[Outcome]:
    return [Outcome(reply[2 * i + 2], reply[2 * i + 3], tag) for i, tag in enumerate(etags)]
