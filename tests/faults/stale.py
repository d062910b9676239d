"""`python -m tests.faults.stale`: looks for stale reads among millions, while faults are injected.

It keeps no history, so there can be any number of reads. Each document has a number, which its only writer counts up. A
read must see at least the largest number that was acknowledged, or seen by a completed read, before it began. It must
see at most the largest number that was sent before it ended. A write of unknown outcome may be executed later, so its
document is not used any more, and the writer continues with a new one.

The exit status is 0 if no read was wrong, and 1 if one was.
"""

import argparse
import asyncio
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import cast

import uvloop
from aiohttp import ClientSession

from tests.faults.faults import FAULTS, counts_of
from tests.faults.stand import Stand, standing
from tests.raw_http import DOCUMENTS, connected, request
from tests.servers import binaries

HARMS = (
    "kill_redis",
    "pause_redis",
    "kill_clients",
    "track_few",
    "flush_scripts",
    "reset",
    "delay",
    "lag",
    "half_reply",
)
ANSWER_SECONDS = 5.0  # after these without an answer, the client reconnects
SHOWN = 20


@dataclass(slots=True)
class Document:
    """A document. `floor` and `sent` are the least and the largest number that a read may see now."""

    target: str
    floor: int = 0
    sent: int = 0
    question: bytes = b""

    def __post_init__(self) -> None:
        self.question = request("GET", self.target)


@dataclass(slots=True)
class Account:
    """Counts of all reads so far; `wrong` has messages for the first wrong reads."""

    reads: int = 0
    refused: int = 0
    writes: int = 0
    unknown: int = 0
    wrong: list[str] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)

    def judge(self, document: Document, floor: int, seen: int) -> None:
        self.reads += 1
        if not floor <= seen <= document.sent and len(self.wrong) < SHOWN:
            self.wrong.append(f"{document.target}: {seen}, which is not within {floor} and {document.sent}")
        document.floor = max(document.floor, seen)

    def __str__(self) -> str:
        return (
            f"{self.reads} reads, and {self.refused} refused; {self.writes} writes, {self.unknown} of unknown outcome; "
            f" faults: {counts_of(self.injected)}; {len(self.wrong)} wrong reads"
        )


class Reader(asyncio.Protocol):
    """A client that reads one document after the other on one connection. `lost` is done when the connection ends."""

    def __init__(self, documents: list[Document], account: Account, random: Random) -> None:
        self._documents, self._account, self._random = documents, account, random
        self._received = bytearray()
        self._document, self._floor, self.asked = documents[0], 0, 0.0
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self._document = document = self._random.choice(self._documents)
        self._floor, self.asked = document.floor, monotonic()
        self.transport.write(document.question)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        if not ended:
            return
        _, _, length = head.lower().partition(b"content-length: ")
        if len(body) < int(length.partition(b"\r\n")[0]):
            return
        if head.startswith(b"HTTP/1.1 200 "):
            self._account.judge(self._document, self._floor, int(body[1:-1]))
        elif head.startswith(b"HTTP/1.1 404 "):  # not written yet
            self._account.judge(self._document, self._floor, 0)
        elif head.startswith(b"HTTP/1.1 503 "):
            self._account.refused += 1
        else:
            self._account.wrong.append(head.decode())
        self._received.clear()
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


async def read(stand: Stand, documents: list[Document], account: Account, random: Random) -> None:
    """Read until the task is cancelled; reconnect when the connection ends."""
    loop = asyncio.get_running_loop()
    while True:
        host, port = stand.service.url.removeprefix("http://").split(":")
        try:
            transport, reader = await loop.create_connection(
                lambda: Reader(documents, account, random), host, int(port)
            )
        except OSError:
            await asyncio.sleep(0.05)
            continue
        try:
            while not reader.lost.done() and monotonic() - reader.asked < ANSWER_SECONDS:
                await asyncio.wait([reader.lost], timeout=ANSWER_SECONDS)
        finally:
            transport.abort()


async def write(stand: Stand, documents: list[Document], place: int, account: Account, pause: float) -> None:
    """Count up one document of the list until the task is cancelled."""
    random, number = Random(place), 0
    while True:
        try:
            async with connected(stand.service) as wire, asyncio.timeout(None) as patience:
                while True:
                    patience.reschedule(asyncio.get_running_loop().time() + ANSWER_SECONDS)
                    document = documents[place]
                    document.sent += 1
                    response = await wire.ask("PUT", document.target, b"[%d]" % document.sent)
                    account.writes += 1
                    if response.status == 503:
                        raise TimeoutError
                    if response.status != 200:
                        account.wrong.append(f"a PUT was answered {response.status}: {response.body!r}")
                    document.floor = max(document.floor, document.sent)
                    await asyncio.sleep(random.random() * 2 * pause)
        except (OSError, EOFError, TimeoutError):
            account.unknown += 1
            number += 1
            documents[place] = Document(f"{DOCUMENTS}/stale/{place}-{number}")
            await asyncio.sleep(0.02)


async def inject(stand: Stand, group: str, chosen: tuple[str, ...], account: Account, pause: float) -> None:
    """Inject faults of one group until the task is cancelled."""
    random = Random(group)
    faults = [fault for fault in FAULTS[stand.topology][group] if fault.__name__ in chosen]
    while faults:
        await asyncio.sleep(pause * random.random())
        fault = random.choice(faults)
        await fault(stand, random)
        account.injected[fault.__name__] += 1


async def look(
    stand: Stand,
    reads: int,
    *,
    faults: tuple[str, ...] = HARMS,
    connections: int = 64,
    keys: int = 16,
    pause: float = 0.02,
    between: float = 2.0,
    say: float = 0.0,
) -> Account:
    """Read until there were so many reads.

    `pause`: mean time between two writes of a document. `between`: longest time between two faults of a group. `say`:
    time between two lines of output, 0 for none. All are in seconds.
    """
    account = Account()
    documents = [Document(f"{DOCUMENTS}/stale/{place}-0") for place in range(keys)]
    tasks = [asyncio.create_task(write(stand, documents, place, account, pause)) for place in range(keys)]
    tasks += [
        asyncio.create_task(read(stand, documents, account, Random(100 + number))) for number in range(connections)
    ]
    tasks += [asyncio.create_task(inject(stand, group, faults, account, between)) for group in FAULTS[stand.topology]]
    said = monotonic()
    try:
        while account.reads < reads and not account.wrong:
            if ended := [task for task in tasks if task.done()]:
                ended[0].result()  # raises the exception that ended it
            await asyncio.sleep(0.05)
            if say and monotonic() - said > say:
                said = monotonic()
                print(account, flush=True)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return account


async def main(given: argparse.Namespace) -> int:
    async with standing(binary=dict(binaries())[given.server], workers=2) as stand:
        account = await look(stand, given.reads, say=15.0)
        async with ClientSession() as http, http.get(stand.service.ops_url + "/metrics") as answer:
            hits = re.findall(r"(?m)^polystow_read_cache_hits_total (\S+)$", await answer.text())
    print("\n".join([f"{given.server}: {account}; {hits[0]} reads were answered from memory", *account.wrong]))
    return 1 if account.wrong else 0


def arguments() -> argparse.Namespace:
    servers = dict(binaries())
    parser = argparse.ArgumentParser(prog="python -m tests.faults.stale", description=__doc__)
    parser.add_argument("--reads", type=int, default=10_000_000, help="[10,000,000]")
    parser.add_argument("--server", choices=list(servers), default=next(iter(servers)))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(arguments())))
