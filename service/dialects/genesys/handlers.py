"""The routes: what each of the vendor's endpoints asks of storage."""

from functools import partial
from uuid import uuid4

from service.dialect import Answer, Request, Routes, Stream
from service.dialects.genesys import direct
from service.dialects.genesys.answers import UNCACHED, answer, everything, one
from service.dialects.genesys.parameters import base, limits, milliseconds, own, parts, places, plain
from service.downloads import File, download

STORAGE = "/genesys/1/storage"

routes = Routes()


@routes.route("POST", STORAGE + "/{ttl}")
async def create(request: Request) -> Answer:
    id = str(uuid4())
    await request.service.storage.areas.create(
        plain(id), parts(request), milliseconds(request.params[0]), request.caller.id, limits(request)
    )
    return answer({"id": id})


@routes.route("POST", STORAGE + "/custom/{customId}/{ttl}")
async def create_custom(request: Request) -> Answer:
    id, ttl = request.params
    await request.service.storage.areas.replace(
        own(request, id), parts(request), milliseconds(ttl), request.caller.id, limits(request)
    )
    return answer({"id": id})


@routes.route("POST", STORAGE + "/{id}/{ttl}")
async def update(request: Request) -> Answer:
    id, ttl = request.params
    await request.service.storage.areas.update(
        places(request, id), parts(request), milliseconds(ttl), request.caller.id, limits(request)
    )
    return answer({})


@routes.route("GET", STORAGE + "/{id}", direct.query)
async def query(request: Request) -> Answer | Stream:
    areas = request.service.storage.areas
    return everything(await areas.find(places(request, request.params[0])), partial(base, request), areas.read)


@routes.route("GET", STORAGE + "/{id}/{key}", direct.query_key)
async def query_key(request: Request) -> Answer | Stream:
    id, key = request.params
    areas = request.service.storage.areas
    return one(await areas.find(places(request, id)), key, partial(base, request), areas.read)


@routes.route("GET", STORAGE + "/binary/{id}/{key}")
async def query_binary(request: Request) -> Answer | Stream:
    id, key = request.params
    areas = request.service.storage.areas
    area = await areas.find(places(request, id))
    value = area.file(key)
    file = File(value.size, value.md5.hex(), area.attached.record.updated // 1_000_000, value.type, value.filename)
    return download(request.headers, file, partial(areas.read, area, value), UNCACHED)


@routes.route("DELETE", STORAGE + "/{id}")
async def delete(request: Request) -> Answer:
    await request.service.storage.areas.delete(places(request, request.params[0]))
    return answer({})
