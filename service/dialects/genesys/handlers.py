"""The routes of the vendor's endpoints."""

from functools import partial

from service.api.dialect import Answer, Request, Routes, Stream
from service.api.downloads import File, download
from service.dialects.genesys import description
from service.dialects.genesys.answers import all_keys, answer, one_key
from service.dialects.genesys.parameters import area_of, candidate_collections, custom_area, limits, milliseconds, parts
from service.storage.records.write import Write

STORAGE = "/genesys/1/storage"

routes = Routes()


@routes.route("POST", STORAGE + "/{ttl}", described=description.create)
async def create(request: Request) -> Answer:
    """Create a storage area.

    The service generates its id.
    """
    digits = await request.fresh_id()
    id = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"  # a UUID, as it is written
    ms = milliseconds(request.params[0])
    write = Write(area_of(id), caller=request.caller.id, idempotency=request.idempotency)
    await request.service.storage.areas.create(write, parts(request), ms, limits(request))
    return answer({"id": id})


@routes.route("POST", STORAGE + "/custom/{customId}/{ttl}", described=description.create_custom)
async def create_custom(request: Request) -> Answer:
    """Create a storage area with a custom id.

    It replaces an existing area with this id.
    """
    id, ttl = request.params
    await request.service.storage.areas.replace(
        Write(custom_area(request, id), caller=request.caller.id, idempotency=request.idempotency),
        parts(request),
        milliseconds(ttl),
        limits(request),
    )
    return answer({"id": id})


@routes.route("POST", STORAGE + "/{id}/{ttl}", described=description.update)
async def update(request: Request) -> Answer:
    """Put keys into a storage area.

    Keys that are not in the request keep their values and lifetimes.
    """
    id, ttl = request.params
    await request.service.storage.areas.update(
        candidate_collections(request, id),
        parts(request),
        milliseconds(ttl),
        request.caller.id,
        limits(request),
        idempotency=request.idempotency,
    )
    return answer({})


@routes.route("GET", STORAGE + "/{id}", described=description.query)
async def query(request: Request) -> Answer | Stream:
    """Read all keys of a storage area."""
    areas = request.service.storage.areas
    return all_keys(await areas.find_first(candidate_collections(request, request.params[0])), request.base, areas.read)


@routes.route("GET", STORAGE + "/{id}/{key}", described=description.query_key)
async def query_key(request: Request) -> Answer | Stream:
    """Read one key of a storage area."""
    id, key = request.params
    areas = request.service.storage.areas
    return one_key(await areas.find_first(candidate_collections(request, id)), key, request.base, areas.read)


@routes.route("GET", STORAGE + "/binary/{id}/{key}", described=description.query_binary)
async def query_binary(request: Request) -> Answer | Stream:
    """Read a file."""
    id, key = request.params
    areas = request.service.storage.areas
    area = await areas.find_first(candidate_collections(request, id))
    value = area.file(key)
    file = File(value.size, value.md5.hex(), area.attached.record.updated // 1_000_000, value.type, value.filename)
    return download(request.headers, file, partial(areas.read, area, value))


@routes.route("DELETE", STORAGE + "/{id}", described=description.delete)
async def delete(request: Request) -> Answer:
    """Delete a storage area."""
    await request.service.storage.areas.delete(
        candidate_collections(request, request.params[0]), idempotency=request.idempotency
    )
    return answer({})
