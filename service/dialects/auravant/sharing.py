"""Public values: what extensions let others read, of users, fields and farms.

At user level whatever is public is readable by every valid token; of a field or farm only by who may read it.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial

import orjson

from service.api.dialect import Request, Routes, Stream
from service.api.parsing import flag
from service.dialects.auravant import description
from service.dialects.auravant.access import CLIENT_ID_LENGTH, ID_LENGTH
from service.dialects.auravant.answers import PIECE_BYTES, entry
from service.dialects.auravant.parameters import checked, collections_of, extension_of, record_id, versioned
from service.dialects.auravant.public import PUBLIC, stored
from service.dialects.auravant.refusals import Missing, Unreadable
from service.dialects.auravant.roles import ANYONE, FARMS, FIELDS, NAME, USERS
from service.storage.errors import Invalid, TooLarge
from service.storage.keys import Collection
from service.storage.records import offload
from service.storage.records.scoped import CollectionRead
from service.storage.records.splice import splice
from service.storage.scripts.fan_out import FAN_OUT
from service.storage.scripts.turns import Turns

routes = Routes()

MOST_IDS = 10_000  # named in one request
MERGING = Turns(3)  # resources at a time whose values are too large to come along with others
_number = re.compile(r"0|[1-9][0-9]{0,14}").fullmatch


@routes.route("GET", "/publicvalues/user", described=description.public_of_users)
async def public_of_users(request: Request) -> Stream:
    """Tell the values that were made public at users.

    Every valid token reads them: those of `public_ext_` keys of any extension, those of `public_priv_` keys of its own.
    """
    query = request.query()
    wanted = records(request, query)
    users = listed(query, "users")
    if users is None:
        links = request.service.storage.links
        users = sorted({user for id in wanted for user in await links.linked(NAME, PUBLIC, id)})
    return Stream(200, values(request, "user", surveyed(request, collections_of(USERS, users), wanted), wanted))


@routes.route("GET", "/publicvalues/field", described=description.public_of_fields)
async def public_of_fields(request: Request) -> Stream:
    """Tell the values that were made public at fields which the caller may read."""
    return await of_plots(request, FIELDS, "field")


@routes.route("GET", "/publicvalues/farm", described=description.public_of_farms)
async def public_of_farms(request: Request) -> Stream:
    """Tell the values that were made public at farms which the caller may read."""
    return await of_plots(request, FARMS, "farm")


async def of_plots(request: Request, scope: str, name: str) -> Stream:
    readings, wanted = await plots(request, scope, request.service.storage.scoped.read_many)
    return Stream(200, values(request, name, readings, wanted))


async def plots(
    request: Request, scope: str, read_many: Callable[..., Awaitable[list[CollectionRead]]]
) -> tuple[AsyncIterator[CollectionRead], list[str]]:
    """Of the fields or farms that are named, those that the caller may read; and the records that the query means."""
    query = request.query()
    ids = listed(query, scope)
    if ids is None:
        raise Missing(f"the query lacks `{scope}`")
    wanted = records(request, query)
    readings = await read_many(collections_of(scope, ids), wanted, request.caller.id)
    readable = [reading for reading in readings if reading.refused is None]
    if not readable:
        raise Unreadable(f"user {request.caller.id} may read none of these {scope}")
    return each(readable), wanted


def records(request: Request, query: Mapping[str, str]) -> list[str]:
    """The ids of the records that the query means, the one that wins first."""
    extension = extension_of(request)
    key, client_id = query.get("key"), query.get("client_id") or None
    if not key:
        raise Missing("the query lacks `key`")
    checked([key])
    versioned(request, extension)
    if client_id is not None and len(client_id) > CLIENT_ID_LENGTH:
        raise Invalid(f"`client_id` must have at most {CLIENT_ID_LENGTH} characters")
    environment = "dev" if flag(query, "dev") else "production"
    whose = client_id or request.caller.claims["extension"]
    return [record_id(whose, environment, name) for name in stored(key, own=client_id is None)]


def listed(query: Mapping[str, str], name: str) -> list[str] | None:
    """The ids of a comma-separated list, None where there is none. Ids that none can have are left out at once."""
    ids = [*dict.fromkeys(id for each in query.get(name, "").split(",") if (id := each.strip()))]
    if len(ids) > MOST_IDS:
        raise TooLarge(f"at most {MOST_IDS} {name} in one request, not {len(ids)}")
    return [id for id in ids if len(id) <= ID_LENGTH] if ids else None


async def surveyed(
    request: Request, collections: Sequence[Collection], ids: Sequence[str]
) -> AsyncIterator[CollectionRead]:
    """Users, so many at a time; one who was removed says nothing."""
    for start in range(0, len(collections), FAN_OUT):
        for reading in await request.service.storage.scoped.read_many(
            collections[start : start + FAN_OUT], ids, ANYONE
        ):
            yield reading


async def each(readings: Sequence[CollectionRead]) -> AsyncIterator[CollectionRead]:
    for reading in readings:
        yield reading


async def values(
    request: Request, name: str, readings: AsyncIterator[CollectionRead], wanted: Sequence[str]
) -> AsyncIterator[bytes]:
    """The answer, piece by piece: an array with an object for each resource that has a value."""
    piece, comma = bytearray(b"["), b""
    async for reading in readings:
        async with MERGING.turn() if reading.rest else nullcontext():
            value = await merged(await bodies(request, reading, wanted))
        if value is None:
            continue
        piece += comma + b"{" + entry(name, identifier(reading.collection.name)) + b',"value":'
        comma = b","
        if len(value) > PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
            yield value
        else:
            piece += value
        piece += b"}"
        if len(piece) > PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece) + b"]"


async def bodies(request: Request, reading: CollectionRead, wanted: Sequence[str]) -> list[bytes]:
    """The values of one resource, the one that wins first."""
    found = {
        id: record.body async for portion in request.service.storage.scoped.records(reading) for id, record in portion
    }
    return [found[id] for id in wanted if id in found]


async def merged(bodies: Sequence[bytes]) -> bytes | None:
    """One value of those of a resource: two objects together, else the one that wins. It wins also where one repeats a
    name so often that the two together would be longer than both."""
    if len(bodies) == 2 and all(body.startswith(b"{") for body in bodies):
        with suppress(TooLarge):
            change = partial(splice, limit=sum(map(len, bodies)), flat=True)
            return await offload.run(change, bodies[1], bodies[0])
    return bodies[0] if bodies else None


def identifier(id: str) -> bytes:
    """An id as JSON: a number where it is one."""
    return id.encode() if _number(id) else orjson.dumps(id)
