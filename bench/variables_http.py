"""New values of variables over HTTP, for few and very many variables of an agent: a part of `bench.variables`."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.compare import wrk
from bench.compare.wrk import Order, Request
from bench.placement import placement
from bench.polystow import Polystow
from bench.processes import Unusable, cpu_seconds
from bench.redis_server import RedisServer
from service.storage import keys

HTTP_ROUNDS, HTTP_SECONDS, WARM_SECONDS, CONNECTIONS = 5, 2, 12, 64
USERS = 20_000  # users who change their variables; the worker soon knows all of them
TOKEN = "bench-token"


def requests(server: RedisServer, sizes: Sequence[int], scratch: Path) -> dict[str, float]:
    """Measure new values over HTTP, from 64 connections, for both agents in turns: microseconds per request,
    and CPU time of service and Redis. The users of the variables have their numbers as names."""
    where = placement()
    access = scratch / "agents.json"
    agents = {str(size): "edit" for size in sizes}
    section = {"agents": [{"id": id} for id in agents], "tokens": [{"id": "bench", "token": TOKEN, "agents": agents}]}
    access.write_text(json.dumps({"avaamo": section}))
    with server.client() as client:
        for start in range(1, sizes[-1] // 10 + 1, 1000):
            client.hset(keys.users("avaamo"), mapping={str(n): n for n in range(start, start + 1000)})
        client.set(keys.user("avaamo"), 2 * sizes[-1])
    with Polystow(scratch, where.server, access=access, redis_url=server.url) as service:
        orders = {
            size: Order(
                "spread",
                [
                    (
                        100,
                        Request(
                            "POST",
                            "/bots_api/v1/users/KEY/set_storage.json",
                            {"Access-Token": TOKEN},
                            b'{"key":"variable_1","value":"another value","bot_id":%d}' % size,
                        ),
                    )
                ],
                CONNECTIONS,
                keys=min(size // 10, USERS),
                first=1,
            )
            for size in sizes
        }
        took: dict[int, list[tuple[float, float, float]]] = {size: [] for size in sizes}
        for turn in range(HTTP_ROUNDS + 1):
            for size, order in orders.items():
                before = cpu_seconds(service.pids()), cpu_seconds([server.pid])
                seconds = WARM_SECONDS if turn == 0 and size == sizes[-1] else HTTP_SECONDS
                sample = wrk.run(service.url, order, seconds, directory=scratch, cores=where.client)
                after = cpu_seconds(service.pids()), cpu_seconds([server.pid])
                if sample.refused or sample.broken:
                    raise Unusable(f"{sample.refused} requests were refused, {sample.broken} broken")
                if turn:  # in the first turn the worker looks up the users
                    used = [(b - a) / sample.requests * 1e6 for a, b in zip(before, after, strict=True)]
                    took[size].append((1e6 / sample.rate, *used))  # type: ignore[arg-type]
    few, many = took.values()
    names = ("request", "of the service's CPU", "of Redis's CPU")
    found: dict[str, float] = {}
    for index, name in enumerate(names):
        found[f"{name}, {sizes[0]:,}"] = round(median(each[index] for each in few), 1)
        found[f"{name}, {sizes[-1]:,}"] = round(median(each[index] for each in many), 1)
        found[f"{name}, ratio"] = round(median(b[index] / a[index] for a, b in zip(few, many, strict=True)), 2)
    return found
