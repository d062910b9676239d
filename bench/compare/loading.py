"""Loading of the data that the workloads read, over HTTP, and a check of one answer of each kind.

Invariant: a system that answers wrongly is not measured.
"""

import asyncio
from collections.abc import Iterable, Sequence

import orjson
from aiohttp import ClientSession
from yarl import URL

from bench.compare.system import System
from bench.compare.workloads import ITEMS, Kind, Workload
from bench.compare.wrk import Request
from bench.documents import document

AT_ONCE = 16
PROBE = "probe"  # a key that no workload uses


class Wrong(Exception):
    """A system gave a wrong answer. The text names the system and the answer."""


async def prepare(system: System, workloads: Sequence[Workload]) -> None:
    """Store the data for the workloads that the system supports, and check their answers. Raises Wrong."""
    known = [workload for workload in workloads if system.knows(workload)]
    if not system.url or not known:
        return
    stored: dict[tuple[str, int], int] = {}
    for workload in known:
        where = (workload.place, workload.size)
        stored[where] = max(stored.get(where, 0), 1 if workload.fresh else system.keys(workload))
    async with ClientSession(base_url=system.url) as session:
        for (place, size), keys in stored.items():
            for request in system.setup(place):
                await send(session, request, "")
            await _fill(system, session, place, size, [*map(str, range(keys)), PROBE])
        for workload in known:
            for _, kind in workload.parts:
                await _check(system, session, workload, kind)


async def _fill(system: System, session: ClientSession, place: str, size: int, keys: Iterable[str]) -> None:
    request = system.request("put", place, size)
    if request is None:  # the system stores nothing
        return
    left = iter(keys)

    async def work() -> None:
        for key in left:
            status, body = await send(session, request, key)
            if status >= 300:
                raise Wrong(f"{system.name}: PUT of {place} {key} was answered {status}: {body[:200]!r}")

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def _check(system: System, session: ClientSession, workload: Workload, kind: Kind) -> None:
    """Send one request of this kind and check its effect."""
    request = system.request(kind, workload.place, workload.size)
    assert request is not None
    status, body = await send(session, request, PROBE)
    if status != 404 if kind == "missing" else status >= 300:
        raise Wrong(f"{system.name}: {workload.name} was answered {status}: {body[:200]!r}")
    if kind == "missing":
        return
    wanted = orjson.loads(document(workload.size))
    if kind == "list":
        _compare(system, workload, system.found(body), [wanted] * ITEMS)
        return
    if kind == "patch" and request.method == "PATCH":
        wanted["count"] = 11
    get = system.request("get", workload.place, workload.size)
    assert get is not None
    _compare(system, workload, system.found((await send(session, get, PROBE))[1]), [wanted])


def _compare(system: System, workload: Workload, found: list[object], wanted: list[dict[str, object]]) -> None:
    """Check that each document has the expected members; Kinto adds its own."""
    same = len(found) == len(wanted) and all(
        isinstance(one, dict) and one | other == one for one, other in zip(found, wanted, strict=True)
    )
    if not same:
        raise Wrong(f"{system.name}: {workload.name} holds {str(found)[:200]}, wanted {str(wanted)[:200]}")


async def send(session: ClientSession, request: Request, key: str) -> tuple[int, bytes]:
    """Send a request for a key. Return the status and body of the answer."""
    url = URL(request.path.replace("KEY", key), encoded=True)
    body = request.body.replace(b"KEY", key.encode()) or None
    async with session.request(request.method, url, headers=request.headers, data=body) as answer:
        return answer.status, await answer.read()
