"""The load of `bench.files`: eight files of 8 MB at once, uploaded and downloaded; and a server that discards them.

The server is the control: the same client and the same bytes on the same cores, without Redis. Its latencies are
caused by the machine and the benchmark.
"""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from uuid import uuid4

from aiohttp import ClientSession, web

MEBIBYTE = 1024 * 1024
AT_ONCE = 8
FILE_BYTES = 8 * MEBIBYTE
STORAGE = "/genesys/1/storage"
BOUNDARY = "----bench"


async def move(url: str) -> None:
    """Upload a file and download it, eight at once, until this process is ended."""
    content = os.urandom(FILE_BYTES)
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    form = head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(form), MEBIBYTE):
            yield form[start : start + MEBIBYTE]

    async def there_and_back(http: ClientSession) -> None:
        while True:
            async with http.post(f"{url}{STORAGE}/5", data=pieces(), headers=headers) as answer:
                id = (await answer.json())["id"]
            async with http.get(f"{url}{STORAGE}/binary/{id}/file") as answer:
                if await answer.read() != content:
                    raise SystemExit("other bytes came back")
            print("moved", flush=True)

    async with ClientSession() as http:
        await asyncio.gather(*(there_and_back(http) for _ in range(AT_ONCE)))


async def swallow(port: int) -> None:
    """Receive files and return each once, from memory."""
    held: dict[str, bytes] = {}

    async def upload(request: web.Request) -> web.Response:
        form, id = await request.post(), str(uuid4())
        file = form["file"]
        assert isinstance(file, web.FileField)
        held[id] = file.file.read()
        return web.json_response({"id": id})

    async def download(request: web.Request) -> web.Response:
        return web.Response(body=held.pop(request.match_info["id"]))

    server = web.Application(client_max_size=2 * FILE_BYTES)
    server.add_routes([web.post(f"{STORAGE}/5", upload), web.get(f"{STORAGE}/binary/{{id}}/file", download)])
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.moving")
    parser.add_argument("--to", metavar="URL")
    parser.add_argument("--swallow", metavar="PORT", type=int)
    given = parser.parse_args()
    asyncio.run(move(given.to) if given.to else swallow(given.swallow))
