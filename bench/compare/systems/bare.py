"""Bare aiohttp as most of its users run it: an Application, one route, a Response with a body that exists already.

No service on this framework can be faster. `python -m bench.compare.systems.bare PORT` is its server, on
uvloop like the service.
"""

import sys
from contextlib import ExitStack
from importlib.metadata import version

import uvloop
from aiohttp import web

from bench.compare.system import System
from bench.compare.workloads import Kind
from bench.compare.wrk import Request
from bench.documents import document
from bench.processes import Child, free_port, listening


class Bare(System):
    name = "aiohttp"
    about = "bare aiohttp: web.Application and web.Response, a body that is in memory, nothing else"

    def start(self, stack: ExitStack) -> None:
        port = free_port()
        server = stack.enter_context(
            Child(
                [sys.executable, "-m", "bench.compare.systems.bare", str(port)],
                log=self.directory / "log",
                cores=self.placement.server,
            )
        )
        server.until(lambda: listening(port))
        self.url = f"http://127.0.0.1:{port}"
        self.processes = {"server": [server.pid]}

    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        return Request("GET", f"/{size}/KEY") if kind == "get" else None

    def version(self) -> str:
        return version("aiohttp")


def application() -> web.Application:
    bodies: dict[str, bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        size = request.match_info["size"]
        body = bodies.get(size)
        if body is None:
            body = bodies[size] = document(int(size))
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{size}/{key}", answer)
    return app


if __name__ == "__main__":
    loop = uvloop.new_event_loop()
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=loop)
