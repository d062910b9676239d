"""The routes of public values, which extensions share with others at users, fields and farms.

Every valid token may read the public values of users. The public values of a field or farm may be read by the users who
may read that field or farm.
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
from service.dialects.auravant.parameters import check_keys, check_version, collections_of, extension_of, record_id
from service.dialects.auravant.public import PUBLIC, stored_keys
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

MOST_IDS = 10_000  # limit of users, fields or farms in one request
MERGING = Turns(3)  # resources whose values are too large for a batch are read and merged three at a time
_number = re.compile(r"0|[1-9][0-9]{0,14}").fullmatch


@routes.route("GET", "/publicvalues/user", described=description.public_of_users)
async def public_of_users(request: Request) -> Stream:
    """Read the values that were made public at users.

    Every valid token may read them: `public_ext_` keys of any extension, `public_priv_` keys of its own extension.
    """
    query = request.query()
    wanted = record_ids(request, query)
    users = ids_of(query, "users")
    if users is None:
        links = request.service.storage.links
        users = sorted({user for id in wanted for user in await links.linked(NAME, PUBLIC, id)})
    return Stream(
        200, answer_pieces(request, "user", read_in_batches(request, collections_of(USERS, users), wanted), wanted)
    )


@routes.route("GET", "/publicvalues/field", described=description.public_of_fields)
async def public_of_fields(request: Request) -> Stream:
    """Read the values that were made public at fields which the caller may read."""
    return await public_of_plots(request, FIELDS, "field")


@routes.route("GET", "/publicvalues/farm", described=description.public_of_farms)
async def public_of_farms(request: Request) -> Stream:
    """Read the values that were made public at farms which the caller may read."""
    return await public_of_plots(request, FARMS, "farm")


async def public_of_plots(request: Request, scope: str, name: str) -> Stream:
    readings, wanted = await read_plots(request, scope, request.service.storage.scoped.read_many)
    return Stream(200, answer_pieces(request, name, readings, wanted))


async def read_plots(
    request: Request, scope: str, read_many: Callable[..., Awaitable[list[CollectionRead]]]
) -> tuple[AsyncIterator[CollectionRead], list[str]]:
    """Read the fields or farms that the query names. Return those that the caller may read, and the record ids.

    Raises Missing, Unreadable if the caller may read none of them.
    """
    query = request.query()
    ids = ids_of(query, scope)
    if ids is None:
        raise Missing(f"the query lacks `{scope}`")
    wanted = record_ids(request, query)
    readings = await read_many(collections_of(scope, ids), wanted, request.caller.id)
    readable = [reading for reading in readings if reading.refused is None]
    if not readable:
        raise Unreadable(f"user {request.caller.id} may read none of these {scope}")
    return one_by_one(readable), wanted


def record_ids(request: Request, query: Mapping[str, str]) -> list[str]:
    """Return the ids of the records that the query asks for; the first one has precedence."""
    extension = extension_of(request)
    key, client_id = query.get("key"), query.get("client_id") or None
    if not key:
        raise Missing("the query lacks `key`")
    check_keys([key])
    check_version(request, extension)
    if client_id is not None and len(client_id) > CLIENT_ID_LENGTH:
        raise Invalid(f"`client_id` must have at most {CLIENT_ID_LENGTH} characters")
    environment = "dev" if flag(query, "dev") else "production"
    whose = client_id or request.caller.claims["extension"]
    return [record_id(whose, environment, name) for name in stored_keys(key, own=client_id is None)]


def ids_of(query: Mapping[str, str], name: str) -> list[str] | None:
    """Return the ids of a comma-separated parameter, None if it is absent. Ids that are too long to exist are left out.

    Raises TooLarge.
    """
    ids = [*dict.fromkeys(id for part in query.get(name, "").split(",") if (id := part.strip()))]
    if len(ids) > MOST_IDS:
        raise TooLarge(f"at most {MOST_IDS} {name} in one request, not {len(ids)}")
    return [id for id in ids if len(id) <= ID_LENGTH] if ids else None


async def read_in_batches(
    request: Request, collections: Sequence[Collection], ids: Sequence[str]
) -> AsyncIterator[CollectionRead]:
    """Read the public values of users in batches of `FAN_OUT`. Users who were removed have none."""
    for start in range(0, len(collections), FAN_OUT):
        for reading in await request.service.storage.scoped.read_many(
            collections[start : start + FAN_OUT], ids, ANYONE
        ):
            yield reading


async def one_by_one(readings: Sequence[CollectionRead]) -> AsyncIterator[CollectionRead]:
    for reading in readings:
        yield reading


async def answer_pieces(
    request: Request, name: str, readings: AsyncIterator[CollectionRead], wanted: Sequence[str]
) -> AsyncIterator[bytes]:
    """Yield the answer piece by piece: an array with an object for each resource that has a value."""
    piece, comma = bytearray(b"["), b""
    async for reading in readings:
        async with MERGING.turn() if reading.rest else nullcontext():
            value = await merged_value(await values_of(request, reading, wanted))
        if value is None:
            continue
        piece += comma + b"{" + entry(name, id_json(reading.collection.name)) + b',"value":'
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


async def values_of(request: Request, reading: CollectionRead, wanted: Sequence[str]) -> list[bytes]:
    """Return the values of one resource; the first one has precedence."""
    found = {
        id: record.body async for portion in request.service.storage.scoped.records(reading) for id, record in portion
    }
    return [found[id] for id in wanted if id in found]


async def merged_value(values: Sequence[bytes]) -> bytes | None:
    """Merge the public and the private value of a resource if both are objects; otherwise the first one wins.

    The first one also wins if the merged value would be longer than both together, because a name is repeated.
    """
    if len(values) == 2 and all(value.startswith(b"{") for value in values):
        with suppress(TooLarge):
            merge = partial(splice, limit=sum(map(len, values)), flat=True)
            return await offload.run(merge, values[1], values[0])
    return values[0] if values else None


def id_json(id: str) -> bytes:
    """Return an id as JSON: a number if it is written like one, else a string."""
    return id.encode() if _number(id) else orjson.dumps(id)
