"""A proxy in front of a running service that changes answers, or answers itself."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientSession, DummyCookieJar, web
from multidict import CIMultiDict
from yarl import URL

from service.remote.client import Reply

Forward = Callable[[], Awaitable[Reply]]
Behaviour = Callable[[web.Request, Forward], Awaitable[Reply | None]]  # None: the connection is cut
PER_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@asynccontextmanager
async def proxied(upstream: str, behaviour: Behaviour) -> AsyncIterator[str]:
    """The URL of a proxy that behaves so."""
    jar = DummyCookieJar()
    async with ClientSession(auto_decompress=False, cookie_jar=jar) as http:

        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()

            async def forward() -> Reply:
                url = URL(upstream + request.raw_path, encoded=True)
                headers = [pair for pair in request.headers.items() if pair[0].lower() not in PER_CONNECTION]
                skipped = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
                async with http.request(
                    request.method, url, data=body or None, headers=headers, skip_auto_headers=skipped
                ) as answer:
                    kept = (pair for pair in answer.headers.items() if pair[0].lower() not in PER_CONNECTION)
                    return Reply(answer.status, CIMultiDict(kept), await answer.read())

            reply = await behaviour(request, forward)
            if reply is None:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = runner.addresses[0][1]
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()
