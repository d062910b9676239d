"""`python -m tests.faults.following`: follows a million changes of one category while faults are injected.

Writers raise the versions of documents by single writes and by batches. Meanwhile Redis and workers are killed with
SIGKILL, and connections are cut. Half of the followers poll, the others read streams. Each follower must get every
version of each document once and in order, up to the version that is stored at the end. All followers must get the same
changes in the same order. An acknowledged write must be among them; a write of unknown outcome may be. Changes are not
kept in memory, so there can be any number of them.

The exit status is 0 if no change was missed, repeated, out of order or invented, and 1 otherwise.
"""

import argparse
import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from random import Random
from time import monotonic
from typing import NoReturn

import uvloop
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import Client, at, open_with
from tests.dialects.ainoflow.events import EVENTS, feed
from tests.faults.faults import FAULTS, counts_of
from tests.faults.stand import Stand, standing
from tests.raw_http import Wire, connected, request
from tests.running import soon
from tests.servers import binaries

CATEGORY = "followed"
BATCH = "/api/v1/storage/batch/" + CATEGORY
HARMS = ("kill_redis", "kill_worker", "reset", "kill_clients", "delay", "half_reply")
JOURNAL = {"entries": 200_000}
BEHIND = 50_000  # changes; a follower that lacks more could find some of them trimmed
DOCUMENTS = 16  # of one writer
ANSWER_SECONDS = 5.0  # after these without an answer, the client reconnects
PAUSE = 0.02  # seconds before a client reconnects
BROKEN = (OSError, EOFError, TimeoutError)
_change = re.compile(rb'"cursor":"([^"]+)","op":"put","key":"([^"]+)","version":(\d+)')


class Wrong(Exception):
    """A follower did not get the changes that it had to get."""


class Ledger:
    """The changes that one follower got: the newest version of each document, their number, a digest of their order."""

    def __init__(self) -> None:
        self.versions: Counter[bytes] = Counter()
        self.number = 0
        self._order = sha256()

    def take(self, changes: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Add changes, each with cursor, key and version. Raises Wrong unless each version follows the previous one."""
        versions = self.versions
        for cursor, key, version in changes:
            expected = versions[key] + 1
            if int(version) != expected:
                raise Wrong(f"{key.decode()} at {cursor.decode()}: version {int(version)} came instead of {expected}")
            versions[key] = expected
            self._order.update(cursor)
            self.number += 1

    @property
    def order(self) -> str:
        return self._order.hexdigest()


class Follower:
    """A client that follows the changes by a stream or by polls. After a failure it continues from its cursor."""

    def __init__(self, stand: Stand, project: Client, *, polling: bool) -> None:
        self.ledger = Ledger()
        self._stand, self._credential = stand, f"Authorization: Bearer {project.key}"
        self._cursor, self._polling = "oldest", polling

    async def run(self) -> None:
        """Follow until the task is cancelled. Raises Wrong."""
        while True:
            with suppress(*BROKEN):
                async with connected(self._stand.service) as wire:
                    await (self._poll(wire) if self._polling else self._stream(wire))
            await asyncio.sleep(PAUSE)

    async def _ask(self, wire: Wire, target: str, *headers: str) -> None:
        await wire.send(request("GET", target, None, *headers, credential=self._credential))

    async def _poll(self, wire: Wire) -> NoReturn:
        while True:
            await self._ask(wire, feed(CATEGORY, since=self._cursor, wait=2, limit=1000))
            response = await wire.response()
            self._check(response.status)
            self.ledger.take(_change.findall(response.body))
            self._cursor = json.loads(response.body)["next"]

    async def _stream(self, wire: Wire) -> None:
        await self._ask(wire, feed(CATEGORY), f"Accept: {EVENTS}", f"Last-Event-ID: {self._cursor}")
        received = b""
        while more := await wire.some():
            received += more
            if received.startswith(b"HTTP/1.1 "):
                head, ended, rest = received.partition(b"\r\n\r\n")
                if not ended:
                    continue
                self._check(int(head[9:12]))
                received = rest
            whole, ended, received = received.rpartition(b"\n\n")
            if changes := _change.findall(whole):
                self.ledger.take(changes)
                self._cursor = changes[-1][0].decode()
            if received.endswith(b"0\r\n\r\n"):  # the last chunk: the stream has ended, and the connection stays open
                return

    def _check(self, status: int) -> None:
        if status == 503:
            raise ConnectionError(status)
        if status != 200:
            raise Wrong(f"a follower at {self._cursor} was answered {status}")


class Writer:
    """A client that writes documents of its own. `acknowledged` has the newest acknowledged version of each."""

    def __init__(self, stand: Stand, project: Client, number: int, random: Random) -> None:
        self._stand, self._random = stand, random
        self._credential = f"Authorization: Bearer {project.key}"
        self.keys = [f"w{number}-{document}" for document in range(DOCUMENTS)]
        self.acknowledged: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()  # number of changes of each document that were requested
        self.changes = self.unknown = 0

    async def run(self, goes_on: Callable[[], bool], room: asyncio.Event) -> None:
        while goes_on():
            try:
                async with connected(self._stand.service) as wire:
                    while goes_on():
                        await room.wait()
                        async with asyncio.timeout(ANSWER_SECONDS):
                            await self._write(wire)
            except BROKEN:
                self.unknown += 1
                await asyncio.sleep(PAUSE)

    async def _write(self, wire: Wire) -> None:
        keys = self.keys if self._random.random() < 0.5 else self._random.sample(self.keys, 1)
        self.sent.update(keys)
        if len(keys) > 1:
            operations = [{"op": "put", "key": key, "value": [self.sent[key]]} for key in keys]
            message = "POST", BATCH, json.dumps({"operations": operations}).encode()
        else:
            message = "PUT", at(CATEGORY, keys[0]), b"[%d]" % self.sent[keys[0]]
        await wire.send(request(*message, credential=self._credential))
        response = await wire.response()
        if response.status == 503:
            raise ConnectionError
        if response.status != 200:
            raise Wrong(f"a write was answered {response.status}: {response.body!r}")
        answer = json.loads(response.body)
        for key, receipt in zip(keys, answer["results"] if len(keys) > 1 else [answer], strict=True):
            if receipt["version"] <= self.acknowledged[key]:
                raise Wrong(f"version {receipt['version']} of {key} was acknowledged after {self.acknowledged[key]}")
            self.acknowledged[key] = receipt["version"]
        self.changes += len(keys)


async def inject(
    stand: Stand, group: str, between: float, random: Random, injected: Counter[str], done: Callable[[], int]
) -> None:
    """Inject faults of one group until the task is cancelled. Between two faults some changes are acknowledged."""
    faults = [fault for fault in FAULTS[stand.topology][group] if fault.__name__ in HARMS]
    before = 0

    async def acknowledged() -> bool:
        return done() > before

    while faults:
        before = done()
        await asyncio.sleep(between * random.random())
        await soon(acknowledged)
        fault = random.choice(faults)
        await fault(stand, random)
        injected[fault.__name__] += 1


async def follow(
    stand: Stand,
    changes: int,
    *,
    seed: int,
    writers: int = 32,
    followers: int = 20,
    between: float = 4.0,
    behind: int = BEHIND,
    least_faults: int = 0,
    say: float = 0.0,
) -> str:
    """Write until `changes` are acknowledged and `least_faults` injected; return the figures in words. Raises Wrong.

    `behind`: writers wait while the slowest follower lacks more changes. It reads all of them with each new connection,
    so where faults are frequent, `behind` must be small, or a busy machine does nothing else. `between`: longest time
    between two faults of a group. `say`: time between two lines of output, 0 for none. Both are in seconds.
    """
    async with ClientSession() as http:
        project = await open_with(stand.service, http, journal=JOURNAL)
        injected: Counter[str] = Counter()
        writing = [Writer(stand, project, number, Random(f"{seed} {number}")) for number in range(writers)]
        following = [Follower(stand, project, polling=number % 2 == 1) for number in range(followers)]

        def done() -> int:
            return sum(writer.changes for writer in writing)

        def goes_on() -> bool:
            return done() < changes or injected.total() < least_faults

        room = asyncio.Event()
        works = [asyncio.create_task(writer.run(goes_on, room)) for writer in writing]
        tasks: list[asyncio.Task[None]] = [asyncio.create_task(follower.run()) for follower in following]
        tasks += [
            asyncio.create_task(inject(stand, group, between, Random(f"{seed} {group}"), injected, done))
            for group in FAULTS[stand.topology]
        ]
        said = monotonic()

        def account() -> str:
            return (
                f"{done()} changes acknowledged, "
                f"{sum(writer.unknown for writer in writing)} writes of unknown outcome; "
                f"{min(follower.ledger.number for follower in following)} or more changes reached each of {followers} "
                f"followers; faults: {counts_of(injected)}"
            )

        try:
            while not all(work.done() for work in works):
                for task in (*works, *tasks):
                    if task.done():
                        task.result()  # raises the exception that ended it
                if done() - min(follower.ledger.number for follower in following) < behind:
                    room.set()
                else:
                    room.clear()
                await asyncio.sleep(0.05)
                if say and monotonic() - said > say:
                    said = monotonic()
                    print(account(), flush=True)
            for work in works:
                work.result()
            final = await stored(project, writing)

            async def complete() -> bool:
                for task in tasks:
                    if task.done():
                        task.result()
                return all(follower.ledger.number >= sum(final.values()) for follower in following)

            await soon(complete)
        finally:
            for task in (*works, *tasks):
                task.cancel()
            await asyncio.gather(*works, *tasks, return_exceptions=True)
        compare(final, writing, following)
        return account()


async def stored(project: Client, writing: list[Writer]) -> Counter[bytes]:
    """Return the version of each document that is stored at the end."""
    found: Counter[bytes] = Counter()
    for key in (key for writer in writing for key in writer.keys if writer.sent[key]):

        async def answered(key: str = key) -> bool:
            with suppress(*BROKEN):
                reply = await project.ask("GET", at(CATEGORY, key) + "/meta")
                if reply.status == 200:
                    found[key.encode()] = reply.json["version"]
                return reply.status in (200, 404)
            return False

        await soon(answered)
    return found


def compare(final: Counter[bytes], writing: list[Writer], following: list[Follower]) -> None:
    """Compare what followers got with what is stored and acknowledged, and with each other. Raises Wrong."""
    for writer in writing:
        for key in writer.keys:
            if not writer.acknowledged[key] <= final[key.encode()] <= writer.sent[key]:
                raise Wrong(f"{key}: {final[key.encode()]} versions are stored, {writer.sent[key]} were sent")
    for follower in following:
        if follower.ledger.versions != final:
            raise Wrong(f"a follower has {follower.ledger.number} changes, and {final.total()} were made")
    if len({follower.ledger.order for follower in following}) > 1:
        raise Wrong("followers got the changes in different orders")


async def main(given: argparse.Namespace) -> int:
    async with standing(binary=dict(binaries())[given.server], appendfsync=given.appendfsync) as stand:
        try:
            account = await follow(stand, given.changes, seed=given.seed, say=15.0)
        except Wrong as error:
            print(f"{given.server}, {given.appendfsync}: {error}")
            return 1
    print(f"{given.server}, {given.appendfsync}: {account}; each once, in order, and no other")
    return 0


def arguments() -> argparse.Namespace:
    servers = dict(binaries())
    parser = argparse.ArgumentParser(prog="python -m tests.faults.following", description=__doc__)
    parser.add_argument("--changes", type=int, default=1_000_000, help="[1,000,000]")
    parser.add_argument("--seed", type=int, default=1, help="of writes and faults [1]")
    parser.add_argument("--server", choices=list(servers), default=next(iter(servers)))
    parser.add_argument("--appendfsync", choices=("everysec", "always"), default="everysec", help="[everysec]")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(arguments())))
