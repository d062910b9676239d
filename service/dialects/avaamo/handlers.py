"""The routes of the vendor's endpoints."""

from collections.abc import Sequence

from service.api.dialect import Answer, Request, Routes
from service.dialects.avaamo import description, parameters
from service.dialects.avaamo.answers import SET, answer, page_answer
from service.dialects.avaamo.shapes import Cleared, Deleted, Global
from service.storage.access.grants import WRITE
from service.storage.errors import NotFound
from service.storage.keys import Collection
from service.storage.records.write import Write
from service.storage.variables.variables import Variable

GLOBAL = "/bots_api/v1/storages/{key}"  # it ends with .json

routes = Routes()


@routes.route("POST", "/bots_api/v1/users/{user_layer_id}/set_storage.json", described=description.set_variable)
async def set_variable(request: Request) -> Answer:
    """Set a variable of a user.

    Setting it again keeps its id and the time of its creation.
    """
    user, given = (
        parameters.user_name(request.params[0]),
        parameters.parse_setting(request.headers, await request.body.read(parameters.BODY_BYTES)),
    )
    collection, key, value = parameters.bot_collection({}, given), parameters.key_of(given), parameters.value_of(given)
    number = await _user_number(request, collection, user)
    await request.service.storage.variables.assign(
        Write(collection, subject=request.caller.id, idempotency=request.idempotency), number, key, value
    )
    return Answer(200, SET)


@routes.route("GET", "/dashboard/bots/{agent_id}/storages.json", described=description.variables)
async def variables(request: Request) -> Answer:
    """List an agent's variables, newest first.

    Filters combine; totals are exact.
    """
    query, collection = request.query(), parameters.agent_collection(request.params[0])
    by, page = parameters.filter_of(query), parameters.paging(query)
    total, found = await request.service.storage.variables.select(
        collection, request.caller.id, by, page.offset, page.per_page
    )
    return page_answer(total, page, found, await _displays(request, found))


@routes.route("PUT", GLOBAL, described=description.set_global)
async def set_global(request: Request) -> Answer:
    """Set a global variable.

    It belongs to the agent, not to one of its users.
    """
    key, given = (
        parameters.global_key(request.params[0]),
        parameters.parse_setting(request.headers, await request.body.read(parameters.BODY_BYTES)),
    )
    collection, value = parameters.bot_collection(request.query(), given), parameters.value_of(given)
    await request.service.storage.variables.assign(
        Write(collection, subject=request.caller.id, idempotency=request.idempotency), 0, key, value
    )
    return Answer(201, SET)


@routes.route("GET", GLOBAL, described=description.get_global)
async def get_global(request: Request) -> Answer:
    """Read a global variable.

    It needs view permission on the agent.
    """
    key, collection = parameters.global_key(request.params[0]), parameters.bot_collection(request.query())
    found = await request.service.storage.variables.recall(collection, request.caller.id, 0, key)
    if found is None:
        raise NotFound("there is no such variable")
    return answer(200, Global(found.key, found.value))


@routes.route("DELETE", GLOBAL, described=description.delete_global)
async def delete_global(request: Request) -> Answer:
    """Delete a global variable.

    It needs edit permission on the agent.
    """
    key, collection = parameters.global_key(request.params[0]), parameters.bot_collection(request.query())
    await request.service.storage.variables.drop(
        Write(collection, subject=request.caller.id, idempotency=request.idempotency), 0, key
    )
    return answer(200, Deleted())


@routes.route("POST", "/dashboard/agents/{agent_id}/clear_data.json", described=description.clear)
async def clear(request: Request) -> Answer:
    """Clear an agent's data.

    All of its variables are removed in one step, including global ones.
    """
    collection = parameters.agent_collection(request.params[0])
    parameters.check_clearing(await request.body.read(parameters.BODY_BYTES))
    await request.service.storage.variables.clear(
        Write(collection, subject=request.caller.id, idempotency=request.idempotency)
    )
    return answer(200, Cleared())


async def _user_number(request: Request, collection: Collection, name: str) -> int:
    """Return the integer of a user: from the worker's cache, else from Redis, which allocates one to a new user.

    Raises Denied, Undeclared if the caller may not write, so that nobody else can allocate numbers.
    """
    directory, storage = request.service.directory, request.service.storage
    if (known := directory.cached_values(parameters.NAME, "user").get(name)) is not None:
        return int(known)

    async def allocate(names: Sequence[str]) -> list[int]:
        users = storage.users(parameters.NAME)
        await storage.grants.permit(collection, request.caller.id, WRITE)
        return [await users.allot(each) for each in names]

    (number,) = await directory.cached_many(parameters.NAME, "user", [name], allocate)
    return int(number)


async def _displays(request: Request, found: Sequence[Variable]) -> dict[int, str]:
    """Return the declared display names of these variables' users. Those that are not cached take one command."""
    users = request.service.storage.users(parameters.NAME)

    async def look_up(numbers: Sequence[str]) -> list[str]:
        return await users.displays([*map(int, numbers)])

    numbers = sorted({each.user for each in found if each.user})
    displays = await request.service.directory.cached_many(parameters.NAME, "display", [*map(str, numbers)], look_up)
    return dict(zip(numbers, displays, strict=True))
