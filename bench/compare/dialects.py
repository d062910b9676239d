"""The part `dialects`: each operation of each dialect beside nginx + Lua's GET or SET and bare aiohttp's GET.

In each round of an operation, this service (and an earlier checkout, if one is given) executes the operation,
nginx + Lua the comparable one, and bare aiohttp answers a GET with a document that it has in memory.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from bench.compare.dialect_operations import CONNECTIONS, OPERATIONS, PEERS, Operation
from bench.compare.loading import AT_ONCE, Wrong, prepare, send
from bench.compare.rounds import Samples, Turn, ratios, spreads, summary, take_turns
from bench.compare.system import System
from bench.compare.systems import SUBJECT, select
from bench.compare.systems.bare import Bare
from bench.compare.systems.nginx import Nginx
from bench.compare.systems.polystow import FastPath
from bench.compare.workloads import GET
from bench.compare.wrk import Order
from bench.placement import Placement
from bench.processes import said
from bench.results import table

COMPARED = (FastPath.name, Nginx.name, Bare.name)
ROUNDS = 5
SECONDS = 2
QUICK_KEYS = 200

Names = dict[str, list[str]]  # by operation, the keys that the service chose


def run(
    names: Sequence[str],
    systems: Sequence[str],
    placement: Placement,
    directory: Path,
    *,
    before: Path | None,
    quick: bool,
    say: Callable[[str], None],
) -> tuple[str, dict[str, Any]]:
    """Measure, and return a table and the figures. Raises Unusable, Wrong."""
    operations = chosen(names, quick=quick)
    asked = [name for name in COMPARED if not systems or name in systems]
    measured: dict[str, Samples] = {}
    with ExitStack() as stack:
        running = select(asked, before, placement, directory) if asked else []
        filled: dict[str, Names] = {}
        for system in running:
            say(f"{system.name}: starts and loads")
            system.start(stack)
            if isinstance(system, FastPath):
                filled[system.name] = asyncio.run(fill(system, operations))
            else:
                asyncio.run(prepare(system, PEERS))
        for operation in operations:
            turns = [(system, turn(system, operation, filled, 1 if quick else SECONDS)) for system in running]
            measured[operation.name] = take_turns(operation.name, turns, 1 if quick else ROUNDS, say)
            for system in running:
                if isinstance(system, FastPath):
                    asyncio.run(check(system, [operation], filled[system.name]))
        figures = {
            "placement": placement.note,
            "quick": quick,
            "systems": {each.name: {"about": each.about, "version": each.version()} for each in running},
            "client": said("wrk", "--version").splitlines()[0].split("[")[0].strip(),
            "operations": {each.name: _figures(each, measured[each.name]) for each in operations},
        }
    return tabled(operations, measured), figures


def chosen(names: Sequence[str], *, quick: bool) -> list[Operation]:
    """Return the named operations, or all. A quick run has only the main ones, and loads less data."""
    found = [each for each in OPERATIONS if (each.name in names if names else each.main or not quick)]
    return [replace(each, keys=min(each.keys, QUICK_KEYS)) for each in found] if quick else found


def turn(system: System, operation: Operation, filled: dict[str, Names], seconds: int) -> Turn:
    """Run one system in one round of this operation."""
    if not isinstance(system, FastPath):
        return partial(system.measure, operation.peer if system.name == Nginx.name else GET, seconds)
    names = filled[system.name].get(operation.name, [])

    def ask(number: int) -> Any:
        request = [(100, operation.request)]
        order = Order(operation.script, request, CONNECTIONS, operation.keys, seed=number + 1, names=names)
        return system.carry_out(order, seconds)

    return ask


async def fill(system: System, operations: Sequence[Operation]) -> Names:
    """Store the data that these operations need, and check one answer of each. Raises Wrong."""
    sent: list[tuple[object, int]] = []
    names: Names = {}
    async with ClientSession(base_url=system.url) as session:
        for operation in operations:
            if operation.named:
                names[operation.name] = await _fill(system, session, operation)
            elif (stored := (operation.fill, operation.keys)) not in sent:
                await _fill(system, session, operation)
                sent.append(stored)
    await check(system, operations, names)
    return names


async def _fill(system: System, session: ClientSession, operation: Operation) -> list[str]:
    left = iter(range(operation.keys))
    names: list[str] = []

    async def work() -> None:
        for number in left:
            for request in operation.fill:
                status, body = await send(session, request, str(number))
                if status >= 300:
                    raise Wrong(f"{system.name}: {operation.name}: it could not be filled: {status} {body[:200]!r}")
            if operation.named:
                names.append(operation.named(body))

    await asyncio.gather(*(work() for _ in range(AT_ONCE if operation.fill else 0)))
    return names


async def check(system: System, operations: Sequence[Operation], names: Names) -> None:
    """Execute each operation once. Raises Wrong unless its status and its body are as expected."""
    async with ClientSession(base_url=system.url) as session:
        for operation in operations:
            key = names.get(operation.name, ["0"])[0]
            status, body = await send(session, operation.request, key)
            if status != operation.status or not operation.right(body):
                raise Wrong(f"{system.name}: {operation.name} was answered {status}: {body[:200]!r}")


def tabled(operations: Sequence[Operation], measured: dict[str, Samples]) -> str:
    """Return the report: a row for each operation, with the medians of its rounds."""
    before = any("before" in samples for samples in measured.values())
    others = [Nginx.name, Bare.name, *(["before"] if before else [])]
    head = ["", "a second", f"x {Nginx.name}", "goal", *(f"x {name}" for name in others[1:]), "CPU us", "Redis us"]
    rows = []
    for operation in operations:
        samples = measured[operation.name]
        taken = samples.get(SUBJECT)
        found = summary(taken) if taken else None
        times = [f"{spread.median:.2f}" if (spread := ratios(samples, SUBJECT, name)) else "" for name in others]
        rows.append(
            [
                f"{operation.name}: {operation.title}",
                f"{found['rate']:,}" if found else "",
                times[0],
                f"{operation.goal:g}",
                *times[1:],
                *(f"{found['cpu_us'][name]:.1f}" if found else "" for name in ("server", "redis")),
            ]
        )
    return table(head, rows)


def _figures(operation: Operation, samples: Samples) -> dict[str, Any]:
    return {
        "title": operation.title,
        "peer": operation.peer.title,
        "goal": operation.goal,
        "keys": operation.keys,
        "systems": {name: summary(taken) for name, taken in samples.items()},
        "ratios": spreads(samples, SUBJECT),
    }
