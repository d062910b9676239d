"""Tests uploads and downloads: a signed URL permits one request in time and no other; races leave no partial file."""

import asyncio
import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Callable
from time import time
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from aiohttp import ClientSession

from service.api.signing import Signer
from service.storage.files.blobs import count
from tests.dialects.auravant.client import World
from tests.dialects.auravant.files import FILES, MULTIPART, Files, chunks, digest, form, staying
from tests.dialects.auravant.test_files import opened
from tests.running import SIGNING_KEY, Running, polystow, soon

LARGE = os.urandom(3_000_000)


def late(purpose: str, fields: dict[str, str], seconds: float = 10, keys: tuple[str, ...] = (SIGNING_KEY,)) -> Any:
    """Return the query that the service would have signed some seconds ago for 10 s."""
    rest = {name: text for name, text in fields.items() if name not in ("policy", "key-id", "signature")}
    return Signer(keys, lambda: time() - seconds).sign(purpose, rest, seconds=10, bytes=1000)


async def test_every_signed_field_of_an_upload_is_required_unchanged(world: World) -> None:
    files, field = await opened(world)
    data = await files.announced("fields", field, "k")
    other = await files.announced("fields", field, "other")
    assert {*data["fields"]} == {"resource", "key", "generation", "user", "policy", "key-id", "signature"}
    for name in (*data["fields"], "Content-MD5"):
        of_another = other["fields"].get(name, digest(b"other"))
        for value in ("", "x", None, *([of_another] if of_another != data["fields"].get(name) else [])):
            reply = await files.upload(data, **{name: value})
            assert (reply.status, reply.code) == (403, 3), (name, value, reply.body)
    reply = await files.upload(data, acl="public")
    assert (reply.status, reply.code) == (403, 3)
    assert "acl" in reply.json["msg"]
    assert await files.content("fields", field, "k") is None
    assert chunks(files.running, world.mark) == []
    uploaded = await files.upload(data)
    assert (uploaded.status, uploaded.headers["Cache-Control"]) == (204, "private, no-cache")
    assert (uploaded.headers["Vary"], uploaded.headers["X-Content-Type-Options"]) == ("Authorization", "nosniff")


async def test_an_upload_that_is_late_is_refused(world: World) -> None:
    files, field = await opened(world)
    data = await files.announced("fields", field, "k")
    known = {**data["fields"], "content-md5": digest(b"bytes")}
    for seconds, keys, said in (
        (10, (SIGNING_KEY,), "expired"),
        (0, ("another-key-0123456789abcdefghijkl",), "unknown or no longer accepted"),
    ):
        reply = await files.post(late("upload", known, seconds, keys), b"bytes")
        assert (reply.status, reply.code) == (403, 3)
        assert said in reply.json["msg"]
    reply = await files.post(late("download", known, 0), b"bytes")
    assert "another kind of request" in reply.json["msg"]
    assert await files.content("fields", field, "k") is None
    assert (await files.post(late("upload", known, 9), b"bytes")).status == 204  # the signature and the time are valid


async def test_a_download_that_is_late_or_changed_is_refused(world: World) -> None:
    files, field = await opened(world)
    await files.store("fields", field, "k")
    await files.store("fields", field, "other", b"other")
    listed = (await files.get("fields", [field], "k", "other"))[field]
    base, _, query = listed["k"]["url"].partition("?")
    shown = {name: values[0] for name, values in parse_qs(query).items()}
    other = {name: values[0] for name, values in parse_qs(listed["other"]["url"].partition("?")[2]).items()}
    for name in shown:
        changes = [{**shown, name: "x"}, {**shown, name: ""}, {k: v for k, v in shown.items() if k != name}]
        if other[name] != shown[name]:
            changes.append({**shown, name: other[name]})
        for changed in changes:
            reply = await files.download(f"{base}?{urlencode(changed)}")
            assert (reply.status, reply.code) == (403, 3), (name, reply.body)
    for seconds, status in ((0, 200), (9, 200), (10, 403), (100, 403)):
        assert (await files.download(f"{base}?{urlencode(late('download', shown, seconds))}")).status == status
    assert (await files.download(base)).status == 403


async def test_urls_of_public_files_last_for_100_seconds_and_others_for_10(world: World) -> None:
    files, field = await opened(world)
    await files.store("fields", field, "public_ext_k")
    shared = (await files.shared("field", key="k", fields=field)).json[field]["public_ext_k"]["url"]
    own = (await files.get("fields", [field], "public_ext_k"))[field]["public_ext_k"]["url"]
    for url, seconds in ((shared, 100), (own, 10)):
        (policy,) = parse_qs(url.partition("?")[2])["policy"]
        expires = json.loads(urlsafe_b64decode(policy + "=" * (-len(policy) % 4)))["expires"] / 1000
        assert seconds - 10 < expires - time() <= seconds


async def test_an_upload_works_once(world: World) -> None:
    files, field = await opened(world)
    data = await files.announced("fields", field, "k", LARGE)
    replies = await asyncio.gather(*(files.upload(data, LARGE) for _ in range(4)))
    assert sorted(reply.status for reply in replies) == [204, 409, 409, 409]
    reply = await files.upload(data, LARGE)
    assert (reply.status, reply.code) == (409, 5)
    assert await files.content("fields", field, "k") == LARGE
    assert len(staying(files.running, world.mark)) == count(len(LARGE))


async def begun(files: Files, data: Any, content: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """Send the first half of an upload; return the connection and the other half."""
    host, port = files.running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = form({**data["fields"], "Content-MD5": digest(content)}, content)
    head = (
        f"POST {FILES}/upload HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()
    return reader, writer, body[len(body) // 2 :]


async def arrived(files: Files, mark: str) -> None:
    async def some() -> bool:
        return len(chunks(files.running, mark)) >= 4

    await soon(some)


@pytest.mark.parametrize("meanwhile", ["deleted", "replaced", "revoked"])
async def test_an_upload_whose_key_changes_meanwhile_stores_nothing(world: World, meanwhile: str) -> None:
    files, field = await opened(world)
    data = await files.announced("fields", field, "k", LARGE)
    reader, writer, rest = await begun(files, data, LARGE)
    await arrived(files, world.mark)
    if meanwhile == "deleted":
        assert await files.delete("fields", field, "k") == ["k"]
    elif meanwhile == "replaced":
        await files.store("fields", field, "k", b"newer", overwrite=True)
    else:
        await world.declare(fields=[{"id": field, "permissions": {world.name("owner"): "read"}}])
    writer.write(rest)
    status = await reader.readline()
    writer.close()
    assert status.split()[1] == (b"403" if meanwhile == "revoked" else b"409")
    assert await files.content("fields", field, "k") == (b"newer" if meanwhile == "replaced" else None)
    assert len(staying(files.running, world.mark)) == (meanwhile == "replaced")


async def test_a_user_whose_permission_was_revoked_cannot_download(world: World) -> None:
    files, field = await opened(world)
    await files.store("fields", field, "k")
    url = (await files.get("fields", [field], "k"))[field]["k"]["url"]
    await world.declare(fields=[{"id": field, "permissions": {world.name("other"): "owner"}}])
    reply = await files.download(url)
    assert (reply.status, reply.code) == (403, 3)


async def test_an_interrupted_upload_leaves_no_chunk(serve: Callable[..., Running], http: ClientSession) -> None:
    running = serve()
    world = World(running, http)
    files, field = await opened(world)
    data = await files.announced("fields", field, "k", LARGE)
    _, writer, _ = await begun(files, data, LARGE)
    await arrived(files, world.mark)
    writer.transport.abort()

    async def none() -> bool:
        return not chunks(running, world.mark)

    await soon(none)
    assert (await asyncio.to_thread(polystow, "fsck", data_dir=running.data_dir)).stdout == "0 faults found\n"
    assert (await files.upload(data, LARGE)).status == 204
    assert (await asyncio.to_thread(polystow, "fsck", data_dir=running.data_dir)).stdout == "0 faults found\n"


async def test_a_download_during_a_replacement_is_one_whole_file_or_none(world: World) -> None:
    files, field = await opened(world)
    contents = [bytes([n]) * (1_000_000 + n) for n in range(2)]
    await files.store("fields", field, "k", contents[0])
    seen: list[bytes | None] = []

    async def change() -> None:
        for n in range(1, 16):
            await files.store("fields", field, "k", contents[n % 2], overwrite=True)

    async def read() -> None:
        while not changing.done():
            url = (await files.get("fields", [field], "k"))[field]["k"].get("url")
            reply = None if url is None else await files.download(url)
            assert reply is None or reply.status in (200, 404), reply.body[:200]
            seen.append(reply.body if reply is not None and reply.status == 200 else None)

    changing = asyncio.create_task(change())
    await asyncio.gather(changing, *(read() for _ in range(3)))
    assert {*seen} - {None} <= {*contents}
    assert len([body for body in seen if body is not None]) > 3
    assert len(staying(files.running, world.mark)) == count(1_000_000)


async def test_requests_with_an_idempotency_key_are_carried_out_once(world: World) -> None:
    files, field = await opened(world)
    announced = {
        "field": field,
        "key": "k",
        "original_file_name": "a",
        "md5": digest(LARGE),
        "file_size_kb": len(LARGE) / 1024,
        "overwrite": True,
    }

    async def ask(operation: str, body: dict[str, object]) -> Any:
        target = f"{FILES}/fields?operation={operation}"
        text = json.dumps(body).encode()
        return (await files.client.ask("POST", target, text, Idempotency_Key=operation)).json["data"]

    data = await ask("PUT", announced)
    again = await ask("PUT", announced)
    assert data["fields"]["generation"] == again["fields"]["generation"]
    body = form({**again["fields"], "Content-MD5": digest(LARGE)}, LARGE)
    for _ in range(2):
        reply = await files.client.ask("POST", f"{FILES}/upload", body, Content_Type=MULTIPART, Idempotency_Key="u")
        assert reply.status == 204, reply.body
    assert await files.content("fields", field, "k") == LARGE
    assert len(staying(files.running, world.mark)) == count(len(LARGE))
    await files.store("fields", field, "other")
    removal: dict[str, object] = {"id": field, "keys": ["k", "none", "other"]}
    assert await ask("DELETE", removal) == {"keys": ["k", "other"]}
    await files.store("fields", field, "k")
    assert await ask("DELETE", removal) == {"keys": ["k", "other"]}
    assert await files.content("fields", field, "k") == b"bytes"


async def test_a_repeated_delete_of_everything_gets_the_same_answer_and_deletes_nothing_new(world: World) -> None:
    files, field = await opened(world)
    removal = json.dumps({"keys": ["k", "none", "other"]}).encode()

    async def delete(key: str) -> Any:
        target = f"{FILES}/fields?operation=DELETE"
        return (await files.client.ask("POST", target, removal, Idempotency_Key=key)).json["data"]

    await files.store("fields", field, "k")
    await files.store("fields", field, "other")
    assert await delete("d") == {"keys": ["k", "other"]}
    assert await delete("d") == {"keys": ["k", "other"]}
    await files.store("fields", field, "k")
    assert await delete("d") == {"keys": ["k", "other"]}
    assert await files.content("fields", field, "k") == b"bytes"
    assert await delete("e") == {"keys": ["k"]}
    assert await delete("f") == {"keys": []}
