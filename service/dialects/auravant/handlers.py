"""The routes of values: one path for each scope, whose `operation` is PUT, PATCH, GET or DELETE.

PUT and PATCH write one value, GET reads many keys of many resources in one round trip, DELETE removes keys.
"""

from collections.abc import AsyncIterator, Sequence

from service.api.dialect import Answer, Handling, Request, Routes, Stream
from service.dialects.auravant import description, parameters
from service.dialects.auravant.answers import DONE, answer_pieces, whole_answer
from service.dialects.auravant.grants import readable
from service.dialects.auravant.public import PUBLIC, is_public
from service.dialects.auravant.refusals import Missing
from service.dialects.auravant.roles import FARMS, FIELDS, NAME, USERS
from service.storage.access.grants import WRITE
from service.storage.keys import Collection
from service.storage.records.conditions import ANY, UNCONDITIONAL, Condition
from service.storage.records.record import Record
from service.storage.records.scoped import CollectionRead
from service.storage.records.write import Write
from service.storage.scripts.fan_out import FAN_OUT

routes = Routes()

STORAGE = "/api/mktplace/storage"

PRESENT = Condition(match=ANY)


@routes.route("POST", f"{STORAGE}/users", described=description.users)
def users(request: Request) -> Handling:
    """Store, change, read or delete values that are kept at users.

    `operation` says which. A user's values are read and written by the user, the admins of the user's spaces, and the
    supervisors of the user's groups.
    """
    return storage(USERS, request)


@routes.route("POST", f"{STORAGE}/fields", described=description.fields)
def fields(request: Request) -> Handling:
    """Store, change, read or delete values that are kept at fields.

    `operation` says which. Who may read the field reads them, whoever stored them.
    """
    return storage(FIELDS, request)


@routes.route("POST", f"{STORAGE}/farms", described=description.farms)
def farms(request: Request) -> Handling:
    """Store, change, read or delete values that are kept at farms.

    `operation` says which. Who may read the farm reads them, whoever stored them.
    """
    return storage(FARMS, request)


async def storage(scope: str, request: Request) -> Answer | Stream:
    name = parameters.operation(request)
    parameters.extension_of(request)  # refuses before the body is read
    body = await parameters.read(request, parameters.body_of)
    extension = parameters.extension_of(request)  # it may have been declared again while the body arrived
    if name == "GET":
        return await get(request, scope, parameters.keys_request(request, extension, body.keys, body.ids))
    if name == "DELETE":
        if body.id in (None, ""):
            raise Missing("the body lacks `id`")
        wanted = parameters.keys_request(request, extension, body.keys, body.ids)
        collection = parameters.collection_of(scope, str(body.id))
        write = Write(collection, subject=request.caller.id, idempotency=request.idempotency)
        await request.service.storage.scoped.discard(write, wanted.ids)
        return DONE
    pair = parameters.write_parameters(request, extension, scope, body)
    if scope == USERS and is_public(pair.key) and (name == "PUT" or body.create):
        await link_public_key(request, pair)
    user = request.caller.id
    write = Write(pair.collection, pair.id, user, subject=user, idempotency=request.idempotency)
    await (put if name == "PUT" else patch)(request, write, pair.value, body)
    return DONE


async def link_public_key(request: Request, pair: parameters.KeyValue) -> None:
    """Link a public key to its user before the key is written, so that a request for all users finds it."""
    store, user = request.service.storage, request.caller.id
    await store.grants.permit(pair.collection, user, WRITE)
    await store.links.link(NAME, PUBLIC, pair.id, [pair.collection.name])


async def put(request: Request, write: Write, value: bytes, body: parameters.Body) -> None:
    records = request.service.storage.records
    await (records.put if body.overwrite else records.create)(write, value)


async def patch(request: Request, write: Write, value: bytes, body: parameters.Body) -> None:
    store, limit = request.service.storage, request.service.settings.max_document_bytes
    if body.append:
        await store.scoped.append(write, value, limit, creating=bool(body.create))
    else:
        write.condition = UNCONDITIONAL if body.create else PRESENT
        await store.records.put(write, value)


async def get(request: Request, scope: str, wanted: parameters.KeysRequest) -> Answer | Stream:
    """Read values. Resources that the request names must all be readable (else Denied or NotFound); if it names none,
    the readable ones are answered."""
    scoped, ids, user = request.service.storage.scoped, wanted.ids, request.caller.id
    named = wanted.resources or ([user] if scope == USERS else None)
    names = dict(zip(ids, wanted.keys, strict=True))
    level = scope != USERS or wanted.resources is not None
    collections = parameters.collections_of(
        scope, named or await request.service.storage.links.linked(NAME, readable(scope), user)
    )
    if named is None and len(collections) > FAN_OUT:
        return Stream(200, answer_pieces(read_in_batches(request, collections, ids), names, level=level))
    readings = await scoped.read_many(collections, ids, user, strict=named is not None)
    if any(reading.rest for reading in readings):
        return Stream(200, answer_pieces(records_of(request, readings), names, level=level))
    return whole_answer(
        [(reading.collection.name, reading.found.items()) for reading in readings if reading.found], names, level=level
    )


async def read_in_batches(
    request: Request, collections: Sequence[Collection], ids: Sequence[str]
) -> AsyncIterator[tuple[str, list[tuple[str, Record]]]]:
    """Yield the records of these resources, reading `FAN_OUT` resources at a time."""
    for start in range(0, len(collections), FAN_OUT):
        readings = await request.service.storage.scoped.read_many(
            collections[start : start + FAN_OUT], ids, request.caller.id
        )
        async for portion in records_of(request, readings):
            yield portion


async def records_of(
    request: Request, readings: Sequence[CollectionRead]
) -> AsyncIterator[tuple[str, list[tuple[str, Record]]]]:
    """Yield the records of these resources, portion by portion."""
    for reading in readings:
        async for portion in request.service.storage.scoped.records(reading):
            if portion:
                yield reading.collection.name, portion
