"""The route of batches: several writes of a category in one atomic step."""

import re

from msgspec import UNSET, UnsetType

from service.api.dialect import Answer, Request, Routes
from service.api.parsing import json_parser
from service.dialects.ainoflow import batch_description as description
from service.dialects.ainoflow.answers import answer, expiry
from service.dialects.ainoflow.batch_shapes import Batch, Create, Delete, Done, Operation, Patch, Put, Result
from service.dialects.ainoflow.parameters import BATCH_BYTES, collection_of, lifetime_of, quota, retention
from service.storage.errors import Invalid, OperationRefused, Refusal, TooLarge
from service.storage.records import batches
from service.storage.records.conditions import ANY, UNCONDITIONAL, Condition
from service.storage.records.write import Write

MOST = 100  # operations in a batch

routes = Routes()

_VERBS: dict[type, batches.Verb] = {Create: "create", Put: "put", Patch: "patch", Delete: "delete"}
_parse = json_parser(Batch)
_place = re.compile(r"`operations\[([0-9]+)\](?:\.([^`]+))?` (.*)").fullmatch


@routes.route("POST", "/api/v1/storage/batch/{category}", described=description.batch)
async def batch(request: Request) -> Answer:
    """Write several documents of a category in one atomic step.

    All operations are carried out, or none. Each sees those before it, also on the same key. A reader sees
    all of them or none.
    """
    category = request.params[0]
    collection = collection_of(request, category)
    limit = request.service.settings.max_document_bytes
    asked = parsed(await request.body.read(BATCH_BYTES))
    operations = [_operation(number, each, limit) for number, each in enumerate(asked)]
    write = Write(
        collection,
        caller=request.caller.id,
        quota=quota(request),
        journal=retention(request),
        idempotency=request.idempotency,
    )
    outcomes = await request.service.storage.batches.batch(write, operations, limit)
    results = [_result(category, *each) for each in zip(operations, outcomes, strict=True)]
    return answer(200, Done(category, results))


def parsed(body: bytes) -> list[Operation]:
    """Parse the body of a batch. Raises Invalid; OperationRefused if one operation is malformed."""
    try:
        operations: list[Operation] = _parse(body).operations
    except Invalid as refusal:
        if (found := _place(str(refusal))) is None:
            raise
        message = f"`{found[2]}` {found[3]}" if found[2] else found[3]
        if message.startswith("`op` has"):
            message = f"`op` must be one of {', '.join(_VERBS.values())}"
        raise OperationRefused.of(int(found[1]), Invalid(message)) from None
    if not 1 <= len(operations) <= MOST:
        raise Invalid(f"`operations` must have 1 to {MOST} items, not {len(operations)}")
    return operations


def _operation(number: int, asked: Operation, limit: int) -> batches.Operation:
    try:
        value, lifetime = _value(asked, limit), _lifetime(asked)
        return batches.Operation(_VERBS[type(asked)], asked.key, value, lifetime, _condition(asked))
    except Refusal as refusal:
        raise OperationRefused.of(number, refusal) from None


def _value(asked: Operation, limit: int) -> bytes:
    if isinstance(asked, Delete):
        return b""
    value = bytes(asked.value)
    if value[:1] not in (b"{", b"["):
        raise Invalid("`value` must be a JSON object or array")
    if len(value) > limit:
        raise TooLarge(f"`value` must have at most {limit} bytes")
    return value


def _lifetime(asked: Operation) -> str:
    if not isinstance(asked, Create | Put):
        return ""
    at = None if isinstance(asked.expires_at, UnsetType) else asked.expires_at
    ms = None if isinstance(asked.expires_ms, UnsetType) else asked.expires_ms
    return lifetime_of(at, ms)


def _condition(asked: Operation) -> Condition:
    if isinstance(asked, Create):
        return UNCONDITIONAL
    match = None if isinstance(asked.if_match, UnsetType) else _matching(asked.if_match)
    return Condition(match, None if asked.if_none_match is UNSET else ANY)


def _matching(tag: str) -> frozenset[str]:
    """Return the etags that `ifMatch` names; none if it is not an etag. Quotes are accepted, as in the header."""
    return ANY if tag == "*" else frozenset({tag.strip('"')} - ANY)


def _result(category: str, operation: batches.Operation, outcome: batches.Outcome) -> Result:
    if operation.op == "delete":
        return Result(operation.op, category, operation.id)
    return Result(operation.op, category, operation.id, outcome.version, outcome.etag, expiry(outcome))
