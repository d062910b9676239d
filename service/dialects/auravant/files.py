"""The files: one path for each scope, whose `operation` says what is asked, and what extensions share of them.

PUT and PATCH announce a file and answer where it is to be uploaded; GET tells of files and where to download them.
"""

from collections.abc import AsyncIterator, Sequence

from service.api.dialect import Answer, Request, Routes, Stream
from service.dialects.auravant import file_description, listing, parameters
from service.dialects.auravant.filing import Body, announced, body_of
from service.dialects.auravant.grants import readable
from service.dialects.auravant.refusals import Missing
from service.dialects.auravant.roles import FARMS, FIELDS, NAME, USERS
from service.dialects.auravant.sharing import each, plots
from service.dialects.auravant.transfers import DOWNLOAD_SECONDS, PUBLIC_SECONDS, linking, uploading
from service.storage.files.files import Filed
from service.storage.keys import Collection
from service.storage.records.scoped import CollectionRead
from service.storage.records.write import Write
from service.storage.scripts.fan_out import FAN_OUT

routes = Routes()

FILES = "/api/mktplace/filestorage"

Found = AsyncIterator[tuple[str, list[Filed]]]


@routes.route("POST", f"{FILES}/users", described=file_description.files_of_users)
async def files_of_users(request: Request) -> Answer | Stream:
    """Announce, list or delete files that are kept at users.

    `operation` says which. Who may do what is the same as for values.
    """
    return await filestorage(USERS, request)


@routes.route("POST", f"{FILES}/fields", described=file_description.files_of_fields)
async def files_of_fields(request: Request) -> Answer | Stream:
    """Announce, list or delete files that are kept at fields.

    `operation` says which. Who may do what is the same as for values.
    """
    return await filestorage(FIELDS, request)


@routes.route("POST", f"{FILES}/farms", described=file_description.files_of_farms)
async def files_of_farms(request: Request) -> Answer | Stream:
    """Announce, list or delete files that are kept at farms.

    `operation` says which. Who may do what is the same as for values.
    """
    return await filestorage(FARMS, request)


@routes.route("GET", "/publicfiles/field", described=file_description.public_files_of_fields)
async def public_files_of_fields(request: Request) -> Stream:
    """Tell the files that were made public at fields which the caller may read."""
    return await public(FIELDS, request)


@routes.route("GET", "/publicfiles/farm", described=file_description.public_files_of_farms)
async def public_files_of_farms(request: Request) -> Stream:
    """Tell the files that were made public at farms which the caller may read."""
    return await public(FARMS, request)


async def filestorage(scope: str, request: Request) -> Answer | Stream:
    name, extension = parameters.operation(request), parameters.extension_of(request)
    body = await parameters.read(request, body_of)
    if name == "GET":
        return await get(
            request, scope, parameters.several(request, extension, body.keys, body.ids), urls=bool(body.get_url)
        )
    if name == "DELETE":
        return await delete(request, scope, parameters.several(request, extension, body.keys, None), body)
    asked = announced(request, extension, scope, body)
    user = request.caller.id
    generation = await request.service.storage.files.initiate_upload(
        Write(asked.collection, asked.id, user, subject=user, idempotency=request.idempotency),
        asked.file,
        create=name == "PUT" or bool(body.create),
        overwrite=name == "PATCH" or bool(body.overwrite),
    )
    return listing.data(uploading(request, asked, generation))


async def get(request: Request, scope: str, asked: parameters.Several, *, urls: bool) -> Stream:
    """Everything that is asked for must be readable; of what is found because the caller may read it, what is."""
    names = dict(zip(asked.ids, asked.keys, strict=True))
    link = linking(request, DOWNLOAD_SECONDS) if urls else None
    level = scope != USERS or asked.resources is not None
    if scope == USERS or asked.resources:
        collections = parameters.collections_of(scope, asked.resources or [request.caller.id])
        readings = await request.service.storage.files.read_many(collections, asked.ids, request.caller.id, strict=True)
        found = opened(request, each(readings))
    else:
        linked = await request.service.storage.links.linked(NAME, readable(scope), request.caller.id)
        found = opened(request, surveyed(request, parameters.collections_of(scope, linked), asked.ids))
    return Stream(200, listing.enveloped(listing.objects(found, names, link, level=level)))


async def delete(request: Request, scope: str, asked: parameters.Several, body: Body) -> Answer:
    """Delete keys of one resource, or of all of the scope in which the caller may; those that were there are told."""
    files, user = request.service.storage.files, request.caller.id
    if body.id == "":  # not everything because a name was empty
        raise Missing("`id` is empty: leave it out to delete the keys of all resources")
    if body.id is not None:
        collection = parameters.collection_of(scope, str(body.id))
        gone = {*await files.remove(Write(collection, subject=user, idempotency=request.idempotency), asked.ids)}
    else:
        linked = await request.service.storage.links.linked(NAME, readable(scope), user)
        own = [user] if scope == USERS else []
        gone = set()
        async for reading in surveyed(request, parameters.collections_of(scope, [*own, *linked]), asked.ids):
            gone.update(await files.remove_found(reading, user, idempotency=request.idempotency))
    return listing.data({"keys": [key for key, id in zip(asked.keys, asked.ids, strict=True) if id in gone]})


async def public(scope: str, request: Request) -> Stream:
    readings, wanted = await plots(request, scope, request.service.storage.files.read_many)
    names = {id: id.rpartition(":")[2] for id in wanted}
    return Stream(200, listing.objects(opened(request, readings), names, linking(request, PUBLIC_SECONDS)))


async def surveyed(
    request: Request, collections: Sequence[Collection], ids: Sequence[str]
) -> AsyncIterator[CollectionRead]:
    """Yield the files that are linked, some records at a time."""
    step = max(1, min(FAN_OUT, parameters.READ_VALUES // max(1, len(ids))))
    for start in range(0, len(collections), step):
        for reading in await request.service.storage.files.read_many(
            collections[start : start + step], ids, request.caller.id
        ):
            yield reading


async def opened(request: Request, readings: AsyncIterator[CollectionRead]) -> Found:
    """The files of each resource that has any."""
    async for reading in readings:
        if files := request.service.storage.files.filed(reading):
            yield reading.collection.name, [*files.values()]
