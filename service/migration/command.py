"""The command `polystow migrate`."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from pathlib import Path

from aiohttp import ClientSession
from msgspec import Struct

from service.migration import ainoflow, auravant, avaamo
from service.migration.agent_storage import AgentStorage
from service.migration.documents import Documents
from service.migration.extension_storage import ExtensionStorage
from service.migration.outcome import Outcome, Refused
from service.migration.state import State
from service.remote.client import Remote, Unreachable
from service.settings import BadSetting
from service.storage.access.directory import Directory
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from service.storage.variables.transfer import VariableTransfer
from service.transfer.progress import reporting

TIMEOUT = 60.0  # seconds for one Redis command


class Migration(Struct, frozen=True):
    """The settings that all migrations have: the vendor's server, its credential, the state file."""

    base: str
    token: str
    state: Path | None = None
    quiet: bool = False


class Work(Struct, frozen=True):
    """The clients of both sides and the state, which a migration works with."""

    http: ClientSession
    remote: Remote
    runner: Runner
    state: State
    outcome: Outcome
    progress: Callable[[int], object]


async def migrate_ainoflow(
    redis_url: str, wanted: Migration, *, incoming: bool, project: str, categories: list[str]
) -> int:
    """Move documents in one direction, and return the exit status. Raises BadSetting, Failed, Refusal."""
    chosen = {"project": project, "categories": "\n".join(sorted(categories))}
    task = {"dialect": ainoflow.DIALECT, "direction": "from" if incoming else "to", "server": wanted.base, **chosen}
    direction = ainoflow.Arrival if incoming else ainoflow.Departure

    async def work(parts: Work) -> None:
        vendor = Documents(parts.remote)
        await direction(vendor, parts.runner, project, parts.state, parts.outcome, parts.progress).run(categories)

    cannot = ainoflow.FROM_CANNOT if incoming else ainoflow.TO_CANNOT
    return await _migrate(redis_url, wanted, task, cannot, work)


async def migrate_auravant(
    redis_url: str, wanted: Migration, task: Mapping[str, str], ids: list[str], keys: list[str]
) -> int:
    """Bring values and files, and return the exit status. `task` names the scope, extension and environment.

    Raises BadSetting, Failed, Refusal.
    """
    writer = import_module("service.dialects.auravant.arrivals").Arrivals
    scope = task["scope"]
    resources = {"dialect": "auravant", "server": wanted.base, "ids": "\n".join(ids), "keys": "\n".join(keys)}

    async def work(parts: Work) -> None:
        vendor = ExtensionStorage(parts.http, parts.remote, scope)
        here = writer(Storage(parts.runner), task["extension"], task["environment"])
        await auravant.Arrival(vendor, here, scope, parts.state, parts.outcome, parts.progress).run(ids, keys)

    return await _migrate(redis_url, wanted, {**task, **resources}, auravant.CANNOT, work)


def layer_ids(file: str, text: bytes) -> dict[int, str]:
    """Return the layer id of each user number, from lines such as `user_368,8880460`. Raises BadSetting."""
    found = {}
    for number, line in enumerate(text.decode(errors="replace").splitlines(), 1):
        if line.strip():
            layer_id, _, user = line.strip().rpartition(",")
            if not layer_id.strip() or not user.strip().isdecimal():
                raise BadSetting(f"{file}: line {number} must be a layer id and a number, such as user_368,8880460")
            found[int(user)] = layer_id.strip()
    return found


async def migrate_avaamo(redis_url: str, wanted: Migration, agent: str, layer_ids: Mapping[int, str]) -> int:
    """Bring the variables of an agent, and return the exit status. Raises BadSetting, Failed, Refusal."""
    writer = import_module("service.dialects.avaamo.arrivals").Arrivals
    users = "\n".join(f"{number},{layer_id}" for number, layer_id in sorted(layer_ids.items()))
    task = {"dialect": "avaamo", "server": wanted.base, "agent": agent, "users": users}

    async def work(parts: Work) -> None:
        storage = Storage(parts.runner), VariableTransfer(parts.runner), Directory(parts.runner)
        vendor, here = AgentStorage(parts.remote, agent), writer(*storage, agent)
        await avaamo.Arrival(vendor, here, layer_ids, parts.state, parts.outcome, parts.progress).run()

    return await _migrate(redis_url, wanted, task, avaamo.CANNOT, work)


async def _migrate(
    redis_url: str,
    wanted: Migration,
    task: dict[str, str],
    cannot: str,
    work: Callable[[Work], Awaitable[None]],
) -> int:
    """Run a migration, and return the exit status. `cannot`, printed first, says what the vendor's API cannot do."""
    state = State(wanted.state, task)
    if not wanted.quiet:
        print(cannot, file=sys.stderr)
    runner = Runner.open(redis_url, timeout=TIMEOUT, bulk=True)
    try:
        await runner.redis.connect()
        async with ClientSession() as http:
            remote = Remote(
                http,
                wanted.base,
                {"Access-Token": wanted.token}
                if task["dialect"] == "avaamo"
                else {"Authorization": f"Bearer {wanted.token}"},
            )
            with reporting("migrate", None, quiet=wanted.quiet) as progress:
                outcome = Outcome(progress.say, wanted.quiet)
                await work(Work(http, remote, runner, state, outcome, progress))
            return outcome.end()
    except (Refused, Unreachable) as error:
        goes_on = f"; to continue, start it again with --state {wanted.state}" if wanted.state else ""
        print(f"polystow: {error}{goes_on}", file=sys.stderr)
        return 1
    finally:
        await runner.redis.close()
