"""Client of a server with the Auravant API: reads the values and files of one extension."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientSession
from msgspec import Raw, Struct

from service.migration.outcome import Refused
from service.remote.client import Remote, Reply

STORAGE, FILES = "/api/mktplace/storage", "/api/mktplace/filestorage"
KEYS = 100  # keys in one request
NOTHING = Raw(b"{}")
ATTEMPTS = 5  # attempts to download a file; its URL expires after 10 seconds, so each one asks for a new URL


class _Info(Struct):
    code: int = 0
    msg: str = ""
    objects: Raw = NOTHING


class _Answer(Struct):
    code: int = 0
    msg: str = ""
    info: _Info | None = None
    objects: Raw = NOTHING


class Listed(Struct):
    """One file in a list. A file without a URL was initiated and never uploaded."""

    file_name: str = ""
    url: str | None = None


class NotAllowed(Exception):
    """The vendor answered with an error code: the resource is unknown, or the caller may not read it."""


class ExtensionStorage:
    """Values and files that an extension has stored in one scope: at users, fields or farms."""

    def __init__(self, http: ClientSession, remote: Remote, scope: str) -> None:
        self._http, self._remote, self._scope = http, remote, scope

    async def values(self, id: str, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values of one resource by key. Raises NotAllowed, Refused."""
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), KEYS):
            objects = await self._get(STORAGE, id, keys[start : start + KEYS])
            found |= {key: bytes(value) for key, value in objects.items()}
        return found

    async def files(self, id: str, keys: Sequence[str]) -> dict[str, Listed]:
        """Return the files of one resource by key. Raises NotAllowed, Refused."""
        found: dict[str, Listed] = {}
        for start in range(0, len(keys), KEYS):
            objects = await self._get(FILES, id, keys[start : start + KEYS], get_url=True)
            found |= {key: msgspec.json.decode(value, type=Listed) for key, value in objects.items()}
        return found

    async def download(self, id: str, key: str) -> tuple[Listed, str, bytes] | None:
        """Return a file's entry, media type and bytes, or None if it is gone or was never uploaded.

        Raises NotAllowed, Refused.
        """
        for _ in range(ATTEMPTS):
            listed = (await self.files(id, [key])).get(key)
            if listed is None or not listed.url:
                return None
            try:
                place = urlsplit(listed.url)
            except ValueError as error:
                raise Refused(
                    f"{self._scope} {id}: the vendor's URL of the file {key} is not a URL: {error}"
                ) from error
            target = place.path + (f"?{place.query}" if place.query else "")
            reply = await Remote(self._http, f"{place.scheme}://{place.netloc}").ask("GET", target)
            if reply.status == 200:
                return listed, reply.headers.get("Content-Type", ""), reply.body
        raise Refused(f"{self._scope} {id}: the file {key} was answered with {reply.status}, {ATTEMPTS} times")

    async def _get(self, path: str, id: str, keys: Sequence[str], **more: object) -> dict[str, Raw]:
        """Return the values or files that one resource has under these keys."""
        named: str | int = int(id) if self._scope != "users" and id.isdecimal() and str(int(id)) == id else id
        body = msgspec.json.encode({"ids": [named], "keys": list(keys), **more})
        target = f"{path}/{self._scope}?operation=GET"
        reply = await self._remote.ask("POST", target, body, [("Content-Type", "application/json")])
        return self._objects(reply, id).get(id, {})

    def _objects(self, reply: Reply, id: str) -> dict[str, dict[str, Raw]]:
        try:
            if reply.status != 200:
                raise Refused(f"a GET was answered with {reply.status}: {reply.body[:200].decode(errors='replace')}")
            answer = msgspec.json.decode(reply.body, type=_Answer)
            info = answer.info or _Info(answer.code, answer.msg)
            if code := answer.code or info.code:
                raise NotAllowed(f"{self._scope} {id}: code {code} {answer.msg or info.msg}".rstrip())
            objects = info.objects if answer.objects == NOTHING else answer.objects
            if bytes(objects).strip() == b"[]":  # the vendor answers [] for an empty object
                return {}
            return msgspec.json.decode(objects, type=dict[str, dict[str, Raw]])
        except msgspec.MsgspecError as error:
            raise Refused(f"an answer is not as the vendor's page describes it: {error}") from error
