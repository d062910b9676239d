"""The part `growth`: the same requests against 1,000 and against 1,000,000 documents, and a page far into them.

Each collection has its own Redis and its own service. Keys are drawn from all documents of the collection.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from bench.compare.loading import Wrong
from bench.compare.systems.polystow import CHANGE, DOCUMENTS, HEADERS, FastPath
from bench.compare.workloads import ITEMS, SMALL
from bench.compare.wrk import Order, Request, Sample
from bench.documents import document
from bench.filling import collection_named, fill, opened
from bench.placement import Placement
from bench.results import table

COLLECTION = "grown"
SMALL_COUNT = 1000
COUNT = 1_000_000
QUICK_COUNT = 50_000
CONNECTIONS = 64


class Few(FastPath):
    name = "few"


class Many(FastPath):
    name = "many"


def questions(far: int) -> dict[str, tuple[Request, bool]]:
    """Return the requests, each with a flag if the small collection has it too; `far` is a page of the large one."""
    document_of = f"{DOCUMENTS}/{COLLECTION}/KEY"
    page = f"{DOCUMENTS}/{COLLECTION}?limit={ITEMS}&page="
    return {
        "GET": (Request("GET", document_of, HEADERS), True),
        "PUT existing": (Request("PUT", document_of, HEADERS, document(SMALL)), True),
        "PATCH": (Request("PATCH", document_of, HEADERS, CHANGE), True),
        "list, page 1": (Request("GET", f"{page}1", HEADERS), True),
        f"list, page {far:,}": (Request("GET", f"{page}{far}", HEADERS), False),
    }


def run(
    placement: Placement, directory: Path, *, quick: bool, say: Callable[[str], None]
) -> tuple[str, dict[str, Any]]:
    """Measure, and return a table and the figures. Raises Unusable, Wrong."""
    count = QUICK_COUNT if quick else COUNT
    sizes = {Few.name: SMALL_COUNT, Many.name: count}
    with ExitStack() as stack:
        systems = [Few(placement, directory), Many(placement, directory)]
        for system in systems:
            system.start(stack)
            say(f"growth: stores {sizes[system.name]:,} documents")
            asyncio.run(_stored(system.redis.url, sizes[system.name]))
        asked = questions(count // ITEMS // 2)
        taken: dict[str, dict[str, list[Sample]]] = {name: {Few.name: [], Many.name: []} for name in asked}
        for turn in range(1 if quick else 3):
            for name, (request, everywhere) in asked.items():
                for system in systems:
                    if everywhere or system.name == Many.name:
                        sample = _measured(system, request, sizes[system.name], turn, 1 if quick else 2)
                        taken[name][system.name].append(sample)
    figures = _figures(taken)
    return _table(figures, count), {"placement": placement.note, "quick": quick, "documents": count, "asked": figures}


async def _stored(url: str, count: int) -> None:
    async with opened(url) as (_, storage):
        await fill(storage, collection_named(COLLECTION), count, document(SMALL))


def _measured(system: FastPath, request: Request, keys: int, turn: int, seconds: int) -> Sample:
    script = "spread" if "KEY" in request.path else "same"
    sample = system.carry_out(Order(script, [(100, request)], CONNECTIONS, keys, seed=turn + 1), seconds)
    if sample.broken or sample.refused:
        raise Wrong(f"{request.method} {request.path}: {sample.broken} broke, {sample.refused} were refused")
    return sample


def _figures(taken: dict[str, dict[str, list[Sample]]]) -> dict[str, dict[str, Any]]:
    first_page = taken["list, page 1"][Few.name]
    found = {}
    for name, by in taken.items():
        few, many = by[Few.name] or first_page, by[Many.name]
        found[name] = {
            "rate": [round(median(each.rate for each in samples)) for samples in (few, many)],
            "server_us": [round(median(each.cpu["server"] for each in samples), 1) for samples in (few, many)],
            "redis_us": [round(median(each.cpu["redis"] for each in samples), 1) for samples in (few, many)],
            # How many times as long a request takes: the growth that the goal bounds by 1.5.
            "growth": round(median(a.rate / b.rate for a, b in zip(few, many, strict=True)), 3),
        }
    return found


def _table(figures: dict[str, dict[str, Any]], count: int) -> str:
    head = ["", f"{SMALL_COUNT:,}: /s", "server + Redis us", f"{count:,}: /s", "server + Redis us", "growth"]
    rows = []
    for name, each in figures.items():
        cells = [
            cell for i in (0, 1) for cell in (f"{each['rate'][i]:,}", f"{each['server_us'][i]} + {each['redis_us'][i]}")
        ]
        rows.append([name, *cells, f"{each['growth']:.2f}"])
    return table(head, rows)
