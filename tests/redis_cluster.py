"""A real Redis Cluster for tests, with three primaries and one replica of each. Tests move slots and kill nodes.

Invariant: when the `with` block of a RedisCluster has ended, no process and no file of it is left.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from tests.running import eventually
from tests.servers import Certificates, RedisProcess

SLOTS = 16384
NODE_TIMEOUT = 1.0  # seconds without an answer, after which the other nodes consider a node dead
SHARDS = 3
MOVED_AT_ONCE = 100  # slots that a reshard moves at the same time


class ClusterNode(RedisProcess):
    """One node of a cluster."""

    def __init__(self, path: Path, *config: str, tls: Certificates | None = None, password: str = "") -> None:
        settings = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(round(NODE_TIMEOUT * 1000)),
            "cluster-require-full-coverage": "no",
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync-delay": "0",
            "repl-ping-replica-period": "1",  # a replica is listed only after a ping of its primary
            "appendonly": "yes",
        }
        arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
        super().__init__(path, *arguments, *config, tcp=not tls, tls=tls, bus=True, password=password)
        self.id = ""

    @property
    def place(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def start(self, *, wait: bool = True) -> None:
        super().start(wait=wait)
        if wait and not self.id:
            self.id = self.command("CLUSTER", "MYID").decode()

    def ask_all(self, *commands: tuple[str | int | bytes, ...]) -> list[Any]:
        """Run several commands in one pipeline, and return their replies."""
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return list(pipeline.execute())

    def knows(self) -> int:
        """Return the number of nodes that this node has completed a handshake with."""
        return sum(b"handshake" not in line for line in self.command("CLUSTER", "NODES").splitlines())

    def is_primary(self) -> bool:
        return bool(self.command("ROLE")[0] == b"master")

    def replicates(self) -> bool:
        """Return True if this node is a replica that has everything its primary has."""
        role = self.command("ROLE")
        return bool(role[0] == b"slave" and role[3] == b"connected")


class RedisCluster:
    """Six nodes. At the start the first three are primaries, and the others are their replicas in the same order."""

    def __init__(self, path: Path, *config: str, tls: Certificates | None = None, password: str = "") -> None:
        if password:
            config = (*config, "--masterauth", password)
        if tls:
            config = (*config, "--tls-cluster", "yes", "--tls-replication", "yes")
        self._stack = ExitStack()
        self._login = f":{quote(password, safe='')}@" if password else ""
        self._tls = tls
        self.nodes = [
            self._stack.push(ClusterNode(path, *config, tls=tls, password=password)) for _ in range(2 * SHARDS)
        ]

    @property
    def url(self) -> str:
        """The URL of the cluster for clients; it names all nodes."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        if self._tls:
            return f"rediss+cluster://{self._login}{hosts}?ssl_ca_certs={quote(str(self._tls.authority))}"
        return f"redis+cluster://{self._login}{hosts}"

    @property
    def primaries(self) -> list[ClusterNode]:
        """Return the nodes that run and are primaries."""
        return [node for node in self.nodes if node.answers() and node.is_primary()]

    def replicas(self, primary: ClusterNode) -> list[ClusterNode]:
        """Return the nodes that run and are replicas of this one."""
        alive = [node for node in self.nodes if node.answers() and not node.is_primary()]
        return [node for node in alive if node.command("ROLE")[2] == primary.port]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
            self._join()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _join(self) -> None:
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if node is not first:
                node.command("CLUSTER", "MEET", *first.place)
        for number, node in enumerate(self.nodes[:SHARDS]):
            share = range(number * SLOTS // SHARDS, (number + 1) * SLOTS // SHARDS)
            node.command("CLUSTER", "ADDSLOTS", *share)
        eventually(lambda: all(node.knows() == len(self.nodes) for node in self.nodes))
        for primary, replica in zip(self.nodes[:SHARDS], self.nodes[SHARDS:], strict=True):
            eventually(partial(self._follow, replica, primary))
        self.settle()

    def _follow(self, replica: ClusterNode, primary: ClusterNode) -> bool:
        return bool(replica.command("CLUSTER", "REPLICATE", primary.id) == b"OK")

    def settle(self) -> None:
        """Wait until every node reports a healthy cluster and each primary has its replica."""
        eventually(lambda: all(b"cluster_state:ok" in node.command("CLUSTER", "INFO") for node in self.nodes))
        eventually(lambda: all(node.is_primary() or node.replicates() for node in self.nodes))
        self.agree()
        eventually(lambda: all(len(part) == 4 for node in self.nodes for part in node.command("CLUSTER", "SLOTS")))

    def _view(self, node: ClusterNode) -> frozenset[tuple[str, ...]]:
        """Return the id, configuration epoch and slots of each primary, as one node knows them."""
        parts = [line.split() for line in node.command("CLUSTER", "NODES").decode().splitlines()]
        return frozenset((part[0], part[6], *part[8:]) for part in parts if len(part) > 8)

    def slots(self, owner: ClusterNode) -> list[int]:
        """Return the slots of a primary."""
        ranges = owner.command("CLUSTER", "SLOTS")
        return [
            n for first, last, primary, *_ in ranges if primary[2].decode() == owner.id for n in range(first, last + 1)
        ]

    def reshard(self, source: ClusterNode, target: ClusterNode, count: int) -> None:
        """Move this number of slots with their keys, MOVED_AT_ONCE at a time."""
        slots = self.slots(source)[:count]
        for start in range(0, count, MOVED_AT_ONCE):
            self.begin_move(source, target, *slots[start : start + MOVED_AT_ONCE])
            self.end_move(source, target, *slots[start : start + MOVED_AT_ONCE])

    def begin_move(self, source: ClusterNode, target: ClusterNode, *slots: int) -> None:
        """Begin to move slots. From now on the source answers commands for keys that it does not have with ASK."""
        target.ask_all(*(("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id) for slot in slots))
        source.ask_all(*(("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id) for slot in slots))

    def move_keys(self, source: ClusterNode, target: ClusterNode, *slots: int, count: int = 100) -> bool:
        """Move some keys of each slot; return False if there were none."""
        login = ("AUTH", target.password) if target.password else ()
        found = source.ask_all(*(("CLUSTER", "GETKEYSINSLOT", slot, count) for slot in slots))
        source.ask_all(*(("MIGRATE", *target.place, "", 0, 5000, *login, "KEYS", *keys) for keys in found if keys))
        return any(found)

    def end_move(self, source: ClusterNode, target: ClusterNode, *slots: int) -> None:
        """Move the keys that are left, and give the slots to the target. The other nodes learn of it from both."""
        while self.move_keys(source, target, *slots):
            pass
        for node in (target, source):
            node.ask_all(*(("CLUSTER", "SETSLOT", slot, "NODE", target.id) for slot in slots))

    def agree(self) -> None:
        """Wait until all nodes know the same owners of all slots, with the same epochs.

        A slot must not move again before that. Otherwise a node may learn of a move and not of its new epoch. When it
        gets the slot back, it does not raise its own epoch, and the other nodes believe the older claim.
        """
        eventually(lambda: len({self._view(node) for node in self.nodes}) == 1)
