"""The key-values: one path for each scope, whose `operation` says what is asked.

PUT and PATCH are writes of one value, GET reads many keys of many resources in one round trip, DELETE removes keys.
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from service.dialect import Answer, Request, Routes, Stream
from service.dialects.auravant import description, direct
from service.dialects.auravant.answers import DONE, pieces
from service.dialects.auravant.grants import readable
from service.dialects.auravant.parameters import (
    Body,
    Several,
    Write,
    body_of,
    extension_of,
    operation,
    place_of,
    places_of,
    read,
    several,
    written,
)
from service.dialects.auravant.public import PUBLIC, is_public
from service.dialects.auravant.refusals import Missing
from service.dialects.auravant.roles import FARMS, FIELDS, NAME, USERS
from service.storage.conditions import ANY, Condition
from service.storage.fan_out import FAN_OUT
from service.storage.grants import WRITE
from service.storage.keys import Collection
from service.storage.records import Record
from service.storage.scoped import Shelf, unreadable

routes = Routes()

STORAGE = "/api/mktplace/storage"

PRESENT = Condition(match=ANY)


@routes.route("POST", f"{STORAGE}/users", partial(direct.storage, USERS), described=description.users)
async def users(request: Request) -> Answer | Stream:
    """Store, change, read or delete values that are kept at users.

    `operation` says which. A user's values are read and written by the user, the admins of the user's spaces, and the
    supervisors of the user's groups.
    """
    return await storage(USERS, request)


@routes.route("POST", f"{STORAGE}/fields", partial(direct.storage, FIELDS), described=description.fields)
async def fields(request: Request) -> Answer | Stream:
    """Store, change, read or delete values that are kept at fields.

    `operation` says which. Who may read the field reads them, whoever stored them.
    """
    return await storage(FIELDS, request)


@routes.route("POST", f"{STORAGE}/farms", partial(direct.storage, FARMS), described=description.farms)
async def farms(request: Request) -> Answer | Stream:
    """Store, change, read or delete values that are kept at farms.

    `operation` says which. Who may read the farm reads them, whoever stored them.
    """
    return await storage(FARMS, request)


async def storage(scope: str, request: Request) -> Answer | Stream:
    name, extension = operation(request), await extension_of(request)
    body = await read(request, body_of)
    if name == "GET":
        return await get(request, scope, several(request, extension, body.keys, body.ids))
    if name == "DELETE":
        if body.id in (None, ""):
            raise Missing("id and keys are needed")
        asked = several(request, extension, body.keys, body.ids)
        await request.service.storage.scoped.discard(place_of(scope, str(body.id)), asked.ids, request.caller.id)
        return DONE
    write = written(request, extension, scope, body)
    if scope == USERS and is_public(write.key) and (name == "PUT" or body.create):
        await announce(request, write)
    await (put if name == "PUT" else patch)(request, write, body)
    return DONE


async def announce(request: Request, write: Write) -> None:
    """Link a public key to the user that is to have it, before it does: who asks for everybody's asks the link."""
    store, user = request.service.storage, request.caller.id
    await store.grants.permit(write.place, user, WRITE)
    await store.links.link(NAME, PUBLIC, write.id, [write.place.name])


async def put(request: Request, write: Write, body: Body) -> None:
    store, user = request.service.storage, request.caller.id
    if body.overwrite:
        await store.put(write.place, write.id, write.value, user, subject=user)
    else:
        await store.create(write.place, write.id, write.value, user, subject=user)


async def patch(request: Request, write: Write, body: Body) -> None:
    store, user, limit = request.service.storage, request.caller.id, request.service.settings.max_document_bytes
    if body.append:
        await store.scoped.append(
            write.place, write.id, write.value, user, limit=limit, subject=user, creating=body.create
        )
    elif body.create:
        await store.put(write.place, write.id, write.value, user, subject=user)
    else:
        await store.put(write.place, write.id, write.value, user, subject=user, condition=PRESENT)


async def get(request: Request, scope: str, asked: Several) -> Stream:
    """Everything that is asked for must be readable; of what is found because the caller may read it, what is."""
    names = dict(zip(asked.ids, asked.keys, strict=True))
    level = scope != USERS or asked.resources is not None
    if scope == USERS or asked.resources:
        places = places_of(scope, asked.resources or [request.caller.id])
        shelves = await request.service.storage.scoped.survey(places, asked.ids, request.caller.id)
        if (refused := unreadable(shelves)) is not None:
            raise refused
        return Stream(200, pieces(opened(request, shelves), names, level=level))
    linked = await request.service.storage.links.linked(NAME, readable(scope), request.caller.id)
    return Stream(200, pieces(surveyed(request, places_of(scope, linked), asked.ids), names, level=level))


async def surveyed(
    request: Request, places: Sequence[Collection], ids: Sequence[str]
) -> AsyncIterator[tuple[str, list[tuple[str, Record]]]]:
    """The records of all that may be read, so many resources at a time."""
    for start in range(0, len(places), FAN_OUT):
        shelves = await request.service.storage.scoped.survey(places[start : start + FAN_OUT], ids, request.caller.id)
        async for portion in opened(request, shelves):
            yield portion


async def opened(request: Request, shelves: Sequence[Shelf]) -> AsyncIterator[tuple[str, list[tuple[str, Record]]]]:
    """The records of these resources, portion by portion."""
    for shelf in shelves:
        async for portion in request.service.storage.scoped.records(shelf):
            if portion:
                yield shelf.place.name, portion
