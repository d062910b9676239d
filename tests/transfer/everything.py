"""`python -m tests.transfer.everything`: compares all that clients can see in a store before and after a transfer.

A service is filled with records of all dialects and with files, exported, and imported into an empty service. The
clients of both read every record, its metadata, and all pages of all lists. Every answer is compared: its status, its
headers and its body. Times of expiry, which most dialects do not show, are compared in Redis. The exit status is 1 if
anything differs, or if fsck finds a fault.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

from service.storage import keys
from tests.records import (
    AGENT,
    AREAS,
    FILES,
    FORM,
    JSON,
    KEY,
    RECORDS,
    TOKEN,
    USERS,
    VALUES,
    Client,
    Record,
    area,
    file,
    form,
)
from tests.running import Running, polystow

CONNECTIONS = 16
CATEGORIES, PEOPLE = 10, 1000
PAGE = 100  # rows of a list
LARGE = 10_000_000  # bytes of one file
LIFETIME = 315_360_000  # seconds
WITHIN = 1000  # ms by which a lifetime may differ
SHOWN = 20  # limit of differences that are named
DOCUMENTS = "/api/v1/storage/json"
ANN = {"gms_user": "ann"}
PLOTS = (("users", "user", "UID-owner"), ("fields", "field", 12345), ("farms", "farm", 777))

_passing = re.compile(rb"(?im)^(?:date|x-request-id):.*\r\n")
_link = re.compile(rb'"(?:url":")?http://127\.0\.0\.1:[^"]*"')


class Ask(NamedTuple):
    """A request that may be sent to any service."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Kept:
    """One record of many: the requests that write it, one after the other, and those that read it."""

    writes: tuple[Ask, ...]
    reads: tuple[Ask, ...]


def document(n: int) -> Kept:
    path = f"{DOCUMENTS}/many-{n % CATEGORIES}/k{n}"
    query = f"?expiresMs={1000 * LIFETIME}" if n % 3 == 0 else ""
    versions = [b'{"n": %d.50, "text": "%b"}' % (n + v, b"x" * (n % 200)) for v in range(1 + (n % 5 == 0))]
    writes = (Ask("PUT", path + query, KEY | JSON, body) for body in versions)
    return Kept((*writes,), (Ask("GET", path, KEY), Ask("GET", path + "/meta", KEY)))


def value(n: int) -> Kept:
    scope, _, id = PLOTS[n % 3]
    path, key = f"{VALUES}{scope}?operation=", f"public_ext_{n}" if n % 5 == 0 else f"k{n}"
    put = {"id": id, "key": key, "data": {"n": n, "list": [n / 8, None, "ü"]}, "overwrite": True}
    get = {"ids": [id], "keys": [key]}
    asks = [
        Ask("POST", path + name, TOKEN | JSON, json.dumps(said).encode()) for name, said in (("PUT", put), ("GET", get))
    ]
    return Kept((asks[0],), (asks[1],))


def variable(n: int) -> Kept:
    body = json.dumps({"key": f"k{n}", "value": f"välue {n}", "bot_id": 8017}).encode()
    write = Ask("POST", f"{USERS}person-{n % PEOPLE}/set_storage.json", AGENT | JSON, body)
    return Kept((write,), (Ask("GET", f"/dashboard/bots/8017/storages.json?key=k{n}", AGENT),))


def texts(n: int) -> Kept:
    write = Ask("POST", f"{AREAS}custom/many-{n}/{LIFETIME - n}", ANN | FORM, b"a=%d&b=a+text" % n)
    return Kept((write,), (Ask("GET", f"{AREAS}many-{n}", ANN), Ask("GET", f"{AREAS}many-{n}/a", ANN)))


KINDS: tuple[Callable[[int], Kept], ...] = (document, value, variable, texts)


def kept(records: int) -> Iterator[Kept]:
    """Yield a number of records, of all dialects in turn."""
    for n in range(records):
        yield KINDS[n % len(KINDS)](n // len(KINDS))


def filed(files: int) -> Iterator[tuple[Record, Ask]]:
    """Yield records with files, the first one large, and for each the request that reads its metadata."""
    for n in range(files):
        content = b"%d " % n * (LARGE // 2 if n == 0 else 1 + n * 37 % 20_000)
        if n % 2:
            head = {"Content-Type": "multipart/form-data; boundary=edge"}
            name = f"file-{n}"
            yield area(name, head, form({}, "f", content), f"binary/{name}/f", content), Ask("GET", AREAS + name, ANN)
        else:
            scope, resource, id = PLOTS[n % 3]
            key = f"file_{n}"
            said = json.dumps({"ids": [id], "keys": [key]}).encode()
            ask = Ask("POST", f"{FILES}{scope}?operation=GET", TOKEN | JSON, said)
            yield file(scope, resource, id, key, content), ask


def lists(records: int) -> Iterator[Ask]:
    """Yield the requests for all pages of all lists."""
    each = -(-records // len(KINDS))
    yield Ask("GET", DOCUMENTS, KEY)
    pages = each // CATEGORIES // PAGE + 2
    for category in range(CATEGORIES):
        for sort in ("createdAt", "key"):
            for page in range(1, pages + 1):
                yield Ask("GET", f"{DOCUMENTS}/many-{category}?limit={PAGE}&page={page}&sort={sort}", KEY)
    for page in range(1, each // PAGE + 3):
        yield Ask("GET", f"/dashboard/bots/8017/storages.json?per_page={PAGE}&page={page}", AGENT)


class Clients:
    """Clients of one service, on connections that stay open."""

    def __init__(self, url: str) -> None:
        self._place = urlsplit(url).hostname, urlsplit(url).port
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Clients":
        for _ in range(CONNECTIONS):
            connection = await asyncio.open_connection(*self._place)
            self._writers.append(connection[1])
            self._free.put_nowait(connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def ask(self, ask: Ask) -> bytes:
        """Send one request, and return its whole answer; fails if its status is an error."""
        lines = "".join(f"{name}: {text}\r\n" for name, text in ask.headers.items())
        head = f"{ask.method} {ask.path} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(ask.body)}\r\n\r\n"
        reader, writer = connection = await self._free.get()
        writer.write(head.encode() + ask.body)
        answer = await reader.readuntil(b"\r\n\r\n")
        body = await _body(reader, answer.lower())
        self._free.put_nowait(connection)
        assert answer.startswith(b"HTTP/1.1 2"), f"{ask.method} {ask.path}: {answer!r} {body!r}"
        return answer + body

    async def each(self, asks: Iterator[tuple[Ask, ...]], said: Callable[[Ask, bytes], object]) -> None:
        """Send rows of requests; those of one row one after the other. `said` is called with each answer."""

        async def client() -> None:
            for row in asks:
                for ask in row:
                    said(ask, await self.ask(ask))

        await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"transfer-encoding: chunked" not in head:
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await reader.readexactly(int(length or 0))
    whole = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        whole += await reader.readexactly(size)
        await reader.readexactly(2)
        if not size:
            return whole


def seen(answer: bytes) -> bytes:
    """Return a digest of an answer, without the parts that differ between answers and between services.

    The order of headers is not compared: it depends on the path of the request through the worker.
    """
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = _passing.sub(b"", head + b"\r\n").splitlines()
    return blake2b(b"\n".join([status, *sorted(headers), _link.sub(b'"link"', body)]), digest_size=16).digest()


async def write(url: str, records: int) -> None:
    """Write the records of all dialects."""
    async with Clients(url) as clients:
        await clients.each((one.writes for one in kept(records)), lambda ask, answer: None)


async def read(url: str, records: int, files: int) -> dict[str, bytes]:
    """Return the answers that clients get for everything, by request."""
    found = dict[str, bytes]()

    def said(ask: Ask, answer: bytes) -> None:
        found[f"{ask.method} {ask.path} {ask.body.decode()}".strip()] = seen(answer)

    async with Clients(url) as clients:
        await clients.each((one.reads for one in kept(records)), said)
        await clients.each(((ask,) for ask in lists(records)), said)
        await clients.each(((ask,) for _, ask in filed(files)), said)
    for record in [*RECORDS, *(record for record, _ in filed(files))]:
        content = record.read(Client(url))
        assert record.content in content, record.name
        found[record.name] = blake2b(content).digest()
    return found


def lifetimes(service: Running) -> dict[str, int]:
    """Return the times of expiry (ms) of all records, by their keys; -1 for those that do not expire."""
    with service.redis as client:
        names = [
            key for key in client.scan_iter(count=1000) if (keys.parse(key.decode()) or [""] * 4)[3] in ("r:", "f:")
        ]
        found: list[int] = []
        for start in range(0, len(names), 1000):
            with client.pipeline(transaction=False) as pipeline:
                for name in names[start : start + 1000]:
                    pipeline.pexpiretime(name)
                found += pipeline.execute()
    return {name.decode(): ms for name, ms in zip(names, found, strict=True)}


def differences(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """Return the requests that are answered differently, or are only in one of both."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def later(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return the keys whose times of expiry differ by more than `WITHIN`, or that are only in one of both."""
    names = before.keys() | after.keys()
    return sorted(
        name
        for name in names
        if name not in before
        or name not in after
        or (before[name] < 0) != (after[name] < 0)
        or abs(before[name] - after[name]) > WITHIN
    )


def moved(records: int, files: int, name: str, scratch: Path) -> list[str]:
    """Fill a service, transfer everything into another one, and return all differences."""
    file = str(scratch / name)
    with Running() as source:
        source.wait_ready()
        for record in [*RECORDS, *(record for record, _ in filed(files))]:
            record.write(Client(source.url))
        asyncio.run(write(source.url, records))
        before, expiries = asyncio.run(read(source.url, records, files)), lifetimes(source)
        done = polystow("export", file, "--with-access", timeout=None, redis_url=f"unix://{source.data_dir}/redis.sock")
        assert done.returncode == 0, done.stderr
    with Running(access="") as target:
        target.wait_ready()
        there = f"unix://{target.data_dir}/redis.sock"
        for _ in range(2):  # the second time, everything is stored already
            done = polystow("import", file, timeout=None, redis_url=there)
            assert done.returncode == 0, done.stderr
            assert "0 different, 0 expired; 0 faults found" in done.stderr
        found = differences(before, asyncio.run(read(target.url, records, files)))
        found += [f"expiry of {name}" for name in later(expiries, lifetimes(target))]
        fsck = polystow("fsck", timeout=None, redis_url=there)
    print(f"{records} records and {files} files: {len(before)} answers and {len(expiries)} expiries compared")
    return [*found, *(f"fsck: {line}" for line in fsck.stdout.splitlines()[:-1])]


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.transfer.everything", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="how many, of all dialects together [100000]")
    parser.add_argument("--files", type=int, default=1000, help="how many, one of them of 10 MB [1000]")
    options = parser.parse_args(given)
    began = monotonic()
    with tempfile.TemporaryDirectory(prefix="polystow-") as scratch:
        found = moved(options.records, options.files, "all.ndjson.zst", Path(scratch))
    for name in found[:SHOWN]:
        print(f"differs: {name}")
    print(f"{len(found)} differences; {monotonic() - began:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
