"""The routes of files: one path for each scope, whose `operation` is PUT, PATCH, GET or DELETE, and the public files.

PUT and PATCH initiate an upload and answer its URL and form fields; GET lists files with their download URLs.
"""

from collections.abc import AsyncIterator, Sequence

from service.api.dialect import Answer, Request, Routes, Stream
from service.dialects.auravant import file_description, listing, parameters
from service.dialects.auravant.file_parameters import Body, body_of, upload_parameters
from service.dialects.auravant.grants import readable
from service.dialects.auravant.refusals import Missing
from service.dialects.auravant.roles import FARMS, FIELDS, NAME, USERS
from service.dialects.auravant.sharing import one_by_one, read_plots
from service.dialects.auravant.transfers import DOWNLOAD_SECONDS, PUBLIC_SECONDS, download_urls, upload_form
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
    """List the files that were made public at fields which the caller may read."""
    return await public(FIELDS, request)


@routes.route("GET", "/publicfiles/farm", described=file_description.public_files_of_farms)
async def public_files_of_farms(request: Request) -> Stream:
    """List the files that were made public at farms which the caller may read."""
    return await public(FARMS, request)


async def filestorage(scope: str, request: Request) -> Answer | Stream:
    name = parameters.operation(request)
    parameters.extension_of(request)  # refuses before the body is read
    body = await parameters.read(request, body_of)
    extension = parameters.extension_of(request)  # it may have been declared again while the body arrived
    if name == "GET":
        return await get(
            request, scope, parameters.keys_request(request, extension, body.keys, body.ids), urls=bool(body.get_url)
        )
    if name == "DELETE":
        return await delete(request, scope, parameters.keys_request(request, extension, body.keys, None), body)
    wanted = upload_parameters(request, extension, scope, body)
    user = request.caller.id
    generation = await request.service.storage.files.initiate_upload(
        Write(wanted.collection, wanted.id, user, subject=user, idempotency=request.idempotency),
        wanted.file,
        create=name == "PUT" or bool(body.create),
        overwrite=name == "PATCH" or bool(body.overwrite),
    )
    return listing.data(upload_form(request, wanted, generation))


async def get(request: Request, scope: str, wanted: parameters.KeysRequest, *, urls: bool) -> Stream:
    """List files. Resources that the request names must all be readable (else Denied or NotFound); if it names none,
    the readable ones are listed."""
    names = dict(zip(wanted.ids, wanted.keys, strict=True))
    link = download_urls(request, DOWNLOAD_SECONDS) if urls else None
    level = scope != USERS or wanted.resources is not None
    if scope == USERS or wanted.resources:
        collections = parameters.collections_of(scope, wanted.resources or [request.caller.id])
        readings = await request.service.storage.files.read_many(
            collections, wanted.ids, request.caller.id, strict=True
        )
        found = with_files(request, one_by_one(readings))
    else:
        linked = await request.service.storage.links.linked(NAME, readable(scope), request.caller.id)
        found = with_files(request, read_in_batches(request, parameters.collections_of(scope, linked), wanted.ids))
    return Stream(200, listing.enveloped(listing.objects(found, names, link, level=level)))


async def delete(request: Request, scope: str, wanted: parameters.KeysRequest, body: Body) -> Answer:
    """Delete keys of one resource, or of all resources of the scope where the caller may delete; answer the deleted
    keys."""
    files, user = request.service.storage.files, request.caller.id
    if body.id == "":  # an empty id is more likely a mistake than a wish to delete from all resources
        raise Missing("`id` is empty: leave it out to delete the keys of all resources")
    if body.id is not None:
        collection = parameters.collection_of(scope, str(body.id))
        gone = {*await files.remove(Write(collection, subject=user, idempotency=request.idempotency), wanted.ids)}
    else:
        linked = await request.service.storage.links.linked(NAME, readable(scope), user)
        own = [user] if scope == USERS else []
        gone = set()
        async for reading in read_in_batches(request, parameters.collections_of(scope, [*own, *linked]), wanted.ids):
            gone.update(await files.remove_found(reading, user, idempotency=request.idempotency))
    return listing.data({"keys": [key for key, id in zip(wanted.keys, wanted.ids, strict=True) if id in gone]})


async def public(scope: str, request: Request) -> Stream:
    readings, wanted = await read_plots(request, scope, request.service.storage.files.read_many)
    names = {id: id.rpartition(":")[2] for id in wanted}
    return Stream(200, listing.objects(with_files(request, readings), names, download_urls(request, PUBLIC_SECONDS)))


async def read_in_batches(
    request: Request, collections: Sequence[Collection], ids: Sequence[str]
) -> AsyncIterator[CollectionRead]:
    """Read the files of these resources in batches that are bounded by the number of records."""
    step = max(1, min(FAN_OUT, parameters.READ_VALUES // max(1, len(ids))))
    for start in range(0, len(collections), step):
        for reading in await request.service.storage.files.read_many(
            collections[start : start + step], ids, request.caller.id
        ):
            yield reading


async def with_files(request: Request, readings: AsyncIterator[CollectionRead]) -> Found:
    """Yield each resource that has files, with its files."""
    async for reading in readings:
        if files := request.service.storage.files.filed(reading):
            yield reading.collection.name, [*files.values()]
