"""A client for files: initiates uploads, uploads as the vendor's page says, and downloads from the URL of an answer."""

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import md5
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientSession
from yarl import URL

from tests.dialects.auravant.client import Client, Reply
from tests.running import Running

FILES = "/api/mktplace/filestorage"
BOUNDARY = "----a-boundary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
RESOURCE = {"users": "user", "fields": "field", "farms": "farm"}
OK = {"code": 0, "res": "ok", "info": {"code": 0, "res": "ok"}}


def digest(content: bytes) -> str:
    return b64encode(md5(content).digest()).decode()


def form(fields: Mapping[str, str], content: bytes | None, *, type: str = "application/pdf") -> bytes:
    """Return a form as browsers write it. The file, if there is one, is the last field."""
    said = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if content is not None:
        head = 'Content-Disposition: form-data; name="file"; filename="any.pdf"'
        said += f"--{BOUNDARY}\r\n{head}\r\nContent-Type: {type}\r\n\r\n".encode(), content, b"\r\n"
    return b"".join([*said, f"--{BOUNDARY}--\r\n".encode()])


class Files:
    """A client with one token. Uploads and downloads are sent without the token."""

    def __init__(self, client: Client, http: ClientSession) -> None:
        self.client, self.running, self._http = client, client.running, http

    async def ask(self, scope: str, operation: str, body: object) -> Reply:
        text = json.dumps(body).encode()
        return await self.client.ask(
            "POST", f"{FILES}/{scope}?operation={operation}", text, Content_Type="application/json"
        )

    async def announce(
        self, scope: str, id: object, key: str, content: bytes = b"bytes", operation: str = "PUT", **more: object
    ) -> Reply:
        return await self.ask(
            scope,
            operation,
            {
                RESOURCE[scope]: id,
                "key": key,
                "original_file_name": "a report.pdf",
                "md5": digest(content),
                "file_size_kb": len(content) / 1024,
                **more,
            },
        )

    async def announced(self, scope: str, id: object, key: str, content: bytes = b"bytes", **more: Any) -> Any:
        """Initiate an upload; return the `data` of the answer, which has the URL and the fields of the form."""
        reply = await self.announce(scope, id, key, content, **more)
        assert (reply.status, {**reply.json, "data": 0}) == (200, {**OK, "data": 0}), reply.body
        return reply.json["data"]

    async def upload(self, data: Any, content: bytes = b"bytes", **changed: str | None) -> Reply:
        """Upload as the page says. `changed` fields get another value; None removes a field."""
        fields = {**data["fields"], "Content-MD5": digest(content)}
        for name, value in changed.items():
            fields[name.replace("_", "-")] = value
        return await self.post({k: v for k, v in fields.items() if v is not None}, content)

    async def post(self, fields: Mapping[str, str], content: bytes | None, type: str = MULTIPART) -> Reply:
        body = BytesIO(form(fields, content))
        url, headers = f"{self.running.url}{FILES}/upload", {"Content-Type": type}
        async with self._http.post(url, data=body, headers=headers) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def store(self, scope: str, id: object, key: str, content: bytes = b"bytes", **more: object) -> None:
        reply = await self.upload(await self.announced(scope, id, key, content, **more), content)
        assert (reply.status, reply.body) == (204, b""), reply.body

    async def get(self, scope: str, ids: object, *keys: str, get_url: object = True) -> Any:
        """Return the objects of a list."""
        reply = await self.ask(
            scope, "GET", {"keys": keys, "get_url": get_url, **({} if ids is None else {"ids": ids})}
        )
        assert (reply.status, {**reply.json, "objects": 0}) == (200, {**OK, "objects": 0}), reply.body
        return reply.json["objects"]

    async def delete(self, scope: str, id: object, *keys: str) -> Any:
        """Delete keys; return those that existed."""
        reply = await self.ask(scope, "DELETE", {"keys": keys, **({} if id is None else {"id": id})})
        assert (reply.status, {**reply.json, "data": 0}) == (200, {**OK, "data": 0}), reply.body
        return reply.json["data"]["keys"]

    async def download(self, url: str, method: str = "GET", **headers: str) -> Reply:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._http.request(method, URL(url, encoded=True), headers=given) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def content(self, scope: str, id: str, key: str) -> bytes | None:
        """Return the bytes of a file, or None if there is nothing to download."""
        url = (await self.get(scope, [id], key)).get(id, {}).get(key, {}).get("url")
        if url is None:
            return None
        reply = await self.download(url)
        assert reply.status == 200, reply.body
        return reply.body

    async def shared(self, level: str, **query: str) -> Reply:
        return await self.client.ask("GET", f"/publicfiles/{level}?{urlencode(query)}")


def chunks(running: Running, world: str) -> list[bytes]:
    """Return the chunks of a world's resources, also those that will expire soon."""
    with running.redis as client:
        found: list[bytes] = client.keys("{auravant:*}b:*")
    return [key for key in found if world.encode() in key]


def staying(running: Running, world: str) -> list[bytes]:
    with running.redis as client:
        return [key for key in chunks(running, world) if client.ttl(key) == -1]
