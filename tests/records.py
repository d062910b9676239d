"""One record of each kind that the four dialects store: functions that write it and read it again as a client.

They use only HTTP, so they work with a service of any version, whose URL they are given. The service needs the access
document tests/access.yaml. No record expires within ten years.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

TEN_YEARS = 315360000  # in seconds: the longest lifetime that the Genesys dialect accepts
LONG = b'{"text": "' + b"0123456789" * 40_000 + b'", "total": 1250.00}'  # written by several commands
FILE = bytes(range(256)) * 1200  # more than one chunk of 256 KiB
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
KEY, TOKEN, AGENT = {"Authorization": "Bearer ak-1"}, {"Authorization": "Bearer at-owner"}, {"Access-Token": "av-edit"}
DOCUMENTS, VALUES, FILES = "/api/v1/storage/json/kept", "/api/mktplace/storage/", "/api/mktplace/filestorage/"
USERS, GLOBALS, AREAS = "/bots_api/v1/users/", "/bots_api/v1/storages/", "/genesys/1/storage/"


@dataclass(frozen=True)
class Client:
    """A client of the service at `url`."""

    url: str

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
        """Send a request and return the body of its answer. Fail if the status is an error."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status < 400, f"{method} {path}: {answer.status} {said!r}"
        return said


@dataclass(frozen=True)
class Record:
    """A record with the functions that write and read it. The answer of `read` has `content` as it was sent."""

    name: str
    write: Callable[[Client], object]
    read: Callable[[Client], bytes]
    content: bytes


def document(name: str, content: bytes, query: str = "", patch: bytes | None = None, result: bytes = b"") -> Record:
    path = f"{DOCUMENTS}/{name}"

    def write(client: Client) -> None:
        client.ask("PUT", path + query, KEY | JSON, content)
        if patch:
            client.ask("PATCH", path, KEY | JSON, patch)

    return Record(f"ainoflow {name}", write, lambda client: client.ask("GET", path, KEY), result or content)


def value(scope: str, id: object, key: str, content: bytes) -> Record:
    said = {"id": id, "key": key, "data": "HERE", "overwrite": True}
    body = json.dumps(said).encode().replace(b'"HERE"', content)
    wanted = json.dumps({"ids": [id], "keys": [key]}).encode()
    return Record(
        f"auravant {scope} {key}",
        lambda client: client.ask("POST", f"{VALUES}{scope}?operation=PUT", TOKEN | JSON, body),
        lambda client: client.ask("POST", f"{VALUES}{scope}?operation=GET", TOKEN | JSON, wanted),
        content,
    )


def file(scope: str, resource: str, id: object, key: str, content: bytes = FILE) -> Record:
    digest = b64encode(md5(content).digest()).decode()

    def speak(client: Client, operation: str, body: object) -> Any:
        path = f"{FILES}{scope}?operation={operation}"
        return json.loads(client.ask("POST", path, TOKEN | JSON, json.dumps(body).encode()))

    def write(client: Client) -> None:
        said = {resource: id, "key": key, "original_file_name": "a.bin", "md5": digest, "overwrite": True}
        announced = speak(client, "PUT", said | {"file_size_kb": len(content) / 1024})["data"]
        fields = announced["fields"] | {"Content-MD5": digest}
        path = urlsplit(announced["url"]).path
        client.ask("POST", path, {"Content-Type": "multipart/form-data; boundary=edge"}, form(fields, "file", content))

    def read(client: Client) -> bytes:
        found = speak(client, "GET", {"ids": [id], "keys": [key], "get_url": True})["objects"]
        url = urlsplit(found[str(id)][key]["url"])
        return client.ask("GET", f"{url.path}?{url.query}", {})

    return Record(f"auravant {scope} file {key}", write, read, content)


def form(fields: dict[str, str], name: str, content: bytes) -> bytes:
    """Return a multipart form with fields, followed by one file."""
    texts = [
        f'--edge\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n' for key, text in fields.items()
    ]
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="a.bin"\r\n'
    return (
        "".join([*texts, head, "Content-Type: application/octet-stream\r\n\r\n"]).encode() + content + b"\r\n--edge--"
    )


def variable(user: str, key: str, text: str) -> Record:
    body = json.dumps({"key": key, "value": text, "bot_id": 8017}).encode()
    return Record(
        f"avaamo {user} {key}",
        lambda client: client.ask("POST", f"{USERS}{user}/set_storage.json", AGENT | JSON, body),
        lambda client: client.ask("GET", f"/dashboard/bots/8017/storages.json?key={key}", AGENT),
        json.dumps(text, ensure_ascii=False).encode(),
    )


def global_variable(key: str, text: str) -> Record:
    path, body = f"{GLOBALS}{key}.json?bot_id=8017", json.dumps({"value": text}).encode()
    return Record(
        f"avaamo global {key}",
        lambda client: client.ask("PUT", path, AGENT | JSON, body),
        lambda client: client.ask("GET", path, AGENT),
        json.dumps(text, ensure_ascii=False).encode(),
    )


def area(name: str, headers: dict[str, str], body: bytes, read: str, content: bytes) -> Record:
    """A custom area of the user "ann". Its id is known before it is created: the client chooses it."""
    user = {"gms_user": "ann"}
    return Record(
        f"genesys {name}",
        lambda client: client.ask("POST", f"{AREAS}custom/{name}/{TEN_YEARS}", user | headers, body),
        lambda client: client.ask("GET", AREAS + read, user),
        content,
    )


RECORDS = (
    document("object", '{"total": 1250.00, "name": "Jürgen", "big": 12345678901234567890}'.encode()),
    document("array", b"[1.0, [], {}, null]"),
    document("long", LONG),
    document("expiring", b'{"until": 2035}', query=f"?expiresMs={1000 * TEN_YEARS}"),
    document("patched", b'{"a": 1.50, "b": 2}', patch=b'{"b": null, "c": [3]}', result=b'{"a": 1.50'),
    value("users", "UID-owner", "size", b'{"ph": 6.50}'),
    value("fields", 12345, "public_ext_soil", b'["\\u00e9", 1e3]'),
    value("farms", 777, "text", b'"a text"'),
    file("users", "user", "UID-owner", "photo"),
    file("fields", "field", 12345, "map"),
    file("farms", "farm", 777, "public_ext_plan"),
    variable("named", "role", "guest"),
    variable("never-seen", "mood", "zufrieden, übrigens"),
    global_variable("greeting", "1.50"),
    area("texts", FORM, b"a=1&b=a+text", "texts/b", b"a text"),
    area("files", {"Content-Type": "multipart/form-data; boundary=edge"}, form({}, "f", FILE), "binary/files/f", FILE),
)
