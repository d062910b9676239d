"""`python -m tests.faults.batching`: looks for broken batches while Redis and workers are killed.

Each writer has a category of its own. Each of its batches writes the batch's number into all documents, so the numbers
must be equal at all times. A batch of unknown outcome is repeated with the same idempotency key. Sometimes it is
abandoned instead, and its category with it. At the end, the documents of each category must be as the last acknowledged
batch left them, or as the abandoned one did. The journal must have each of these batches once, complete and in order.

The exit status is 0 if there was no violation, and 1 if there was one.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from time import monotonic
from typing import Any

import uvloop
from aiohttp import ClientError, ClientSession

from tests.dialects.ainoflow.client import Client, at, open_with
from tests.dialects.ainoflow.following import all_changes
from tests.faults.clients import answered
from tests.faults.faults import counts_of, kill_redis, kill_worker
from tests.faults.groups import AFTER_DUE, Group
from tests.faults.stand import Stand, standing
from tests.raw_http import Wire, connected, request
from tests.running import soon
from tests.servers import binaries

JOURNAL = {"entries": 1_000_000}
LEARNED = 1.5  # seconds until each worker knows that there is a journal
READ = 0.02  # share of the batches after which all documents are read
ABANDONED = 0.2  # share of the batches of unknown outcome that are abandoned
REFUSALS = 0.15  # share of the batches after which one is sent that must be refused
SHOWN = 20


@dataclass(slots=True)
class Account:
    """Counts of all batches so far; `wrong` has a message for each violation."""

    acknowledged: int = 0
    operations: int = 0
    refused: int = 0
    unknown: int = 0
    looks: int = 0
    changes: int = 0
    groups: list[Group] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def group(self, size: int) -> Group:
        self.groups.append(Group(f"group{len(self.groups)}", size))
        return self.groups[-1]

    def blame(self, group: Group, text: object) -> None:
        self.wrong.append(f"{group.name} after batch {group.acknowledged}: {text}")

    def judge(self, group: Group, items: list[dict[str, Any]]) -> int:
        """Compare the documents of a group with its possible states; return the number of the batch that left them."""
        self.looks += 1
        found = {item["key"]: item["value"]["n"] for item in items}
        for number in range(group.acknowledged, group.sent + 1):
            if group.is_after(number, found):
                return number
        self.blame(group, found)
        return group.acknowledged

    def judge_journal(self, group: Group, changes: list[dict[str, Any]], last: int) -> None:
        """Compare the journal of a group with all batches up to `last`."""
        self.changes += len(changes)
        expected = [entry for number in range(1, last + 1) for entry in group.changes(number)]
        found = [(each["op"], each["key"], each["version"], each.get("value", {}).get("n")) for each in changes]
        if len(found) == len(expected) + 1 and found[-1] == group.changes(last + 1)[0]:
            del found[-1]  # what the last batch made has expired
        if len(found) != len(expected):
            self.blame(group, f"the journal has {len(found)} changes instead of {len(expected)}")
        for one, other in zip(found, expected, strict=False):
            if one != other and (other[0] != "delete" or one[:2] != other[:2]):
                self.blame(group, f"the journal has {one}, not {other}")
                return

    def __str__(self) -> str:
        abandoned = sum(group.sent > group.acknowledged for group in self.groups)
        return (
            f"{self.acknowledged} batches of {self.operations} operations acknowledged, {self.refused} refused, "
            f"{self.unknown} of unknown outcome, {abandoned} abandoned; read {self.looks} times, {self.changes} "
            f"changes in the journals; faults: {counts_of(self.injected)}; {len(self.wrong)} violations"
        )


class Writer:
    """A client that writes batches until `over`, and reconnects after each failure."""

    def __init__(self, project: Client, account: Account, size: int, random: Random) -> None:
        self._project, self._account, self._size, self._random = project, account, size, random
        self._group = account.group(size)
        self._credential = f"Authorization: {project.credential()['Authorization']}"

    async def run(self, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                async with connected(self._project.running) as wire:
                    if self._group.acknowledged:
                        await self._look(wire)
                    while not over.is_set():
                        await self._write(wire)
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(0.02)

    async def _write(self, wire: Wire) -> None:
        group, account = self._group, self._account
        number = group.sent = group.acknowledged + 1
        target = f"/api/v1/storage/batch/{group.name}"
        key = f"Idempotency-Key: n{number}"
        try:
            await wire.send(request("POST", target, group.batch(number), key, credential=self._credential))
            response = await answered(wire)
            if response.status == 503:
                raise TimeoutError
        except (OSError, EOFError, TimeoutError):
            account.unknown += 1
            if self._random.random() < ABANDONED:
                self._group = account.group(self._size)
            raise
        if response.status != 200:
            account.blame(group, f"batch {number} was answered {response.status}: {response.body!r}")
            raise TimeoutError
        results = json.loads(response.body)["results"]
        if fault := group.learn(number, results):
            account.blame(group, fault)
        group.acknowledged = number
        account.acknowledged += 1
        account.operations += len(results)
        await asyncio.sleep(AFTER_DUE)
        if self._random.random() < REFUSALS:
            await self._be_refused(wire)
        if self._random.random() < READ:
            await self._look(wire)

    async def _be_refused(self, wire: Wire) -> None:
        """Send a batch with an operation that must be refused. With any answer it must have changed nothing."""
        group, account = self._group, self._account
        body, place, status = group.refused(self._random)
        await wire.send(request("POST", f"/api/v1/storage/batch/{group.name}", body, credential=self._credential))
        response = await answered(wire)
        if response.status == 503:
            return
        account.refused += 1
        if response.status != status or json.loads(response.body)["error"].get("operation") != place:
            account.blame(
                group, f"not {status} for operation {place}: {response.status} {response.body!r}, of {body!r}"
            )
        if self._random.random() < 0.2:
            await self._look(wire)

    async def _look(self, wire: Wire) -> None:
        await wire.send(request("GET", at(self._group.name, sortBy="key"), credential=self._credential))
        response = await answered(wire)
        if response.status == 200:
            self._account.judge(self._group, json.loads(response.body))


async def inject(stand: Stand, account: Account, random: Random, pause: float, over: asyncio.Event) -> None:
    """Kill Redis and a worker in turn, until `over`. Redis is started again before the worker is killed."""
    while not over.is_set():
        for fault in (kill_redis, kill_worker):
            await asyncio.sleep(random.uniform(0.5, 1.5) * pause)
            await fault(stand, random)
            account.injected[fault.__name__] += 1


async def finish(project: Client, account: Account) -> None:
    """Wait until all workers serve again, then judge the documents and the journal of each group."""

    async def answers() -> bool:
        with suppress(ClientError, OSError):
            return (await project.get("group0")).status == 200
        return False

    for _ in range(20):
        await soon(answers)
        await asyncio.sleep(0.1)
    for group in account.groups:
        last = account.judge(group, (await project.get(group.name, sortBy="key")).json)
        account.judge_journal(group, await all_changes(project, group.name), last)


async def write_batches(
    stand: Stand,
    batches: int,
    *,
    clients: int = 24,
    seed: int = 1,
    pause: float = 2.0,
    kills: int = 0,
    say: float = 0.0,
) -> Account:
    """Write batches until there were `batches` of them and `kills` kills.

    `pause`: mean time between two kills. `say`: time between two lines of output, 0 for none. Both are in seconds.
    """
    account, over = Account(), asyncio.Event()
    async with ClientSession() as http:
        project = await open_with(stand.service, http, journal=JOURNAL)
        await asyncio.sleep(LEARNED)
        writers = [Writer(project, account, 2 + n % 9, Random(f"{seed}-{n}")) for n in range(clients)]
        tasks = [asyncio.create_task(writer.run(over)) for writer in writers]
        injecting = asyncio.create_task(inject(stand, account, Random(seed), pause, over))
        said = monotonic()
        try:
            while (account.acknowledged < batches or account.injected.total() < kills) and not account.wrong:
                if ended := [task for task in (*tasks, injecting) if task.done()]:
                    ended[0].result()  # raises the exception that ended it
                await asyncio.sleep(0.05)
                if say and monotonic() - said > say:
                    said = monotonic()
                    print(account, flush=True)
            over.set()
            await asyncio.gather(*tasks, injecting)
        finally:
            for task in (*tasks, injecting):
                task.cancel()
            await asyncio.gather(*tasks, injecting, return_exceptions=True)
        if not account.wrong:
            await finish(project, account)
    return account


async def main(given: argparse.Namespace) -> int:
    begun = monotonic()
    async with standing(binary=dict(binaries())[given.server], workers=2) as stand:
        account = await write_batches(
            stand, given.batches, clients=given.clients, seed=given.seed, pause=given.pause, say=15.0
        )
    print("\n".join([f"{given.server}: {account}; {monotonic() - begun:.0f} s", *account.wrong[:SHOWN]]))
    return 1 if account.wrong else 0


def arguments() -> argparse.Namespace:
    servers = dict(binaries())
    parser = argparse.ArgumentParser(prog="python -m tests.faults.batching", description=__doc__)
    parser.add_argument("--batches", type=int, default=50_000, help="[50,000]")
    parser.add_argument("--clients", type=int, default=24, help="[24]")
    parser.add_argument("--seed", type=int, default=1, help="[1]")
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between two kills [2]")
    parser.add_argument("--server", choices=list(servers), default=next(iter(servers)))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(arguments())))
