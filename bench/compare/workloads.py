"""The requests that are sent to every system: their kinds, sizes, connections and keys."""

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["get", "get-once", "put", "put-expiring", "patch", "list", "missing"]
Parts = tuple[tuple[int, Kind], ...]

SIZES = {"288": 288, "1k": 1024, "10k": 10 * 1024, "100k": 100 * 1024}
SMALL = 125
ITEMS = 50  # items of a page


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload. `parts` are kinds of request with their weights, of 100. `main` workloads run on every system.

    `cached` workloads show the effect of the read cache; they also run on the service without its cache.
    """

    name: str
    title: str
    parts: Parts
    size: int = SMALL  # bytes of a document
    connections: int = 64
    keys: int = 10_000
    fresh: bool = False  # True: each request has a new key
    skewed: bool = False  # the key of rank k is asked for 1/k times as often as the first (Zipf's law)
    main: bool = False
    cached: bool = False

    @property
    def script(self) -> str:
        """The name of the wrk script that makes its requests."""
        if self.fresh:
            return "fresh"
        if self.skewed:
            return "skewed"
        return "same" if self.keys == 1 or self.parts[0][1] == "list" else "spread"

    @property
    def place(self) -> str:
        """The collection of the workload. Workloads that change documents have their own."""
        if self.fresh and self.parts[0][1] == "put":
            return "fresh"
        return f"{'patched' if self.parts[0][1] == 'patch' else 'stored'}{self.size}"


def _sized(workload: Workload, *sizes: str) -> list[Workload]:
    """Return workloads with other sizes, over fewer keys, so that a system stores at most about 10 MB."""
    return [
        replace(
            workload,
            name=f"{workload.name}-{size}",
            title=f"{workload.title.split(',')[0]}, {size.upper().replace('K', ' KB')}",
            size=SIZES[size],
            keys=100 if size == "100k" else 1000,
            main=False,
            cached=False,
        )
        for size in sizes
    ]


def _connected(workload: Workload, *connections: int) -> list[Workload]:
    return [
        replace(
            workload,
            name=f"{workload.name}-c{n}",
            title=f"{workload.title}, {n} connection{'s' if n > 1 else ''}",
            connections=n,
            main=False,
        )
        for n in connections
    ]


GET = Workload("get", "GET, 125 B", ((100, "get"),), main=True, cached=True)
PUT = Workload("put", "PUT existing, 125 B", ((100, "put"),), main=True)
NEW = Workload("new", "PUT new, 125 B", ((100, "put"),), fresh=True, main=True)
PATCH = Workload("patch", "PATCH, 125 B (Webdis, nginx: SET)", ((100, "patch"),), main=True)
EXPIRING = Workload("put-expiring", "PUT with an expiry, 125 B", ((100, "put-expiring"),))
LIST = Workload("list", f"list page of {ITEMS}", ((100, "list"),), main=True)
MISSING = Workload("missing", "GET that is a 404", ((100, "missing"),), main=True)
MIX = Workload("mix", "95 % GET, 5 % PUT, 125 B", ((95, "get"), (5, "put")), main=True)
EVEN = Workload("mix-50", "50 % GET, 50 % PUT, 125 B", ((50, "get"), (50, "put")), cached=True)
HOT = Workload("hot", "GET, one hot key, 125 B", ((100, "get"),), keys=1, cached=True)
SKEWED = Workload("zipf", "GET, keys by Zipf's law, 125 B", ((100, "get"),), skewed=True, cached=True)
ONCE = Workload("once", "GET, no request comes twice, 125 B", ((100, "get-once"),), fresh=True, cached=True)

WORKLOADS = (
    GET,
    PUT,
    NEW,
    PATCH,
    LIST,
    MISSING,
    MIX,
    EVEN,
    HOT,
    SKEWED,
    ONCE,
    *_connected(GET, 1, 256, 512),
    *_sized(GET, *SIZES),
    *_connected(PUT, 1, 512),
    *_sized(PUT, *SIZES),
    *_sized(PATCH, "1k", "10k"),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}
