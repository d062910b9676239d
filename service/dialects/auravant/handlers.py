"""The key-values: one path for each scope, whose `operation` says what is asked.

PUT and PATCH are writes of one value, GET reads many keys of many resources in one round trip, DELETE removes keys.
"""

from collections.abc import AsyncIterator, Sequence

from service.api.dialect import Answer, Handling, Request, Routes, Stream
from service.dialects.auravant import description, parameters
from service.dialects.auravant.answers import DONE, everything, pieces
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
    name, extension = parameters.operation(request), parameters.extension_of(request)
    body = await parameters.read(request, parameters.body_of)
    if name == "GET":
        return await get(request, scope, parameters.several(request, extension, body.keys, body.ids))
    if name == "DELETE":
        if body.id in (None, ""):
            raise Missing("the body lacks `id`")
        asked = parameters.several(request, extension, body.keys, body.ids)
        collection = parameters.collection_of(scope, str(body.id))
        write = Write(collection, subject=request.caller.id, idempotency=request.idempotency)
        await request.service.storage.scoped.discard(write, asked.ids)
        return DONE
    pair = parameters.written(request, extension, scope, body)
    if scope == USERS and is_public(pair.key) and (name == "PUT" or body.create):
        await announce(request, pair)
    user = request.caller.id
    write = Write(pair.collection, pair.id, user, subject=user, idempotency=request.idempotency)
    await (put if name == "PUT" else patch)(request, write, pair.value, body)
    return DONE


async def announce(request: Request, pair: parameters.KeyValue) -> None:
    """Link a public key to its user before the key is written, so that a search of all users finds it."""
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


async def get(request: Request, scope: str, asked: parameters.Several) -> Answer | Stream:
    """Everything that is asked for must be readable; of what is found because the caller may read it, what is."""
    scoped, ids, user = request.service.storage.scoped, asked.ids, request.caller.id
    named = asked.resources or ([user] if scope == USERS else None)
    names = dict(zip(ids, asked.keys, strict=True))
    level = scope != USERS or asked.resources is not None
    collections = parameters.collections_of(
        scope, named or await request.service.storage.links.linked(NAME, readable(scope), user)
    )
    if named is None and len(collections) > FAN_OUT:
        return Stream(200, pieces(surveyed(request, collections, ids), names, level=level))
    readings = await scoped.read_many(collections, ids, user, strict=named is not None)
    if any(reading.rest for reading in readings):
        return Stream(200, pieces(opened(request, readings), names, level=level))
    return everything(
        [(reading.collection.name, reading.found.items()) for reading in readings if reading.found], names, level=level
    )


async def surveyed(
    request: Request, collections: Sequence[Collection], ids: Sequence[str]
) -> AsyncIterator[tuple[str, list[tuple[str, Record]]]]:
    """The records of all that may be read, so many resources at a time."""
    for start in range(0, len(collections), FAN_OUT):
        readings = await request.service.storage.scoped.read_many(
            collections[start : start + FAN_OUT], ids, request.caller.id
        )
        async for portion in opened(request, readings):
            yield portion


async def opened(
    request: Request, readings: Sequence[CollectionRead]
) -> AsyncIterator[tuple[str, list[tuple[str, Record]]]]:
    """The records of these resources, portion by portion."""
    for reading in readings:
        async for portion in request.service.storage.scoped.records(reading):
            if portion:
                yield reading.collection.name, portion
