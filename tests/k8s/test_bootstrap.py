"""Tests the scripts of the cluster overlay on six real nodes: bootstrap, interruption, handover, new addresses."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.k8s.kustomize import K8S
from tests.k8s.nodes import Node
from tests.running import eventually
from tests.servers import binaries

FOLDERS = (K8S / "redis", K8S / "overlays" / "cluster")
BINARY = binaries()[0][1]


def names(nodes: list[Node]) -> str:
    """Return the value of NODES in the pods."""
    return " ".join(node.name for node in nodes)


@contextmanager
def six() -> Iterator[list[Node]]:
    """Six nodes that have never heard of each other."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(Node(BINARY, *FOLDERS)) for _ in range(6)]
        for node in nodes:
            node.wait()
        yield nodes


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Node]]:
    """A cluster that bootstrap.sh has made."""
    with six() as found:
        bootstrap(found)
        assert all("master" in node.ask("role") for node in found[:3])
        yield found


def bootstrap(nodes: list[Node], at: int = 0) -> None:
    """Run the Job's script beside one node, until all nodes see a complete cluster."""
    done = nodes[at].run("bootstrap.sh", NODES=names(nodes))
    assert done.returncode == 0, done.stderr
    eventually(lambda: all(shape(node) == (3, 3, 16384) for node in nodes))


def said(node: Node, field: str) -> int:
    """Return a number from CLUSTER INFO."""
    found = re.search(rf"{field}:(\d+)", node.ask("cluster", "info"))
    assert found
    return int(found[1])


def shape(node: Node) -> tuple[int, int, int]:
    """Return the numbers of primaries with slots, of replicas, and of slots that are served."""
    lines = [line.split() for line in node.ask("cluster", "nodes").splitlines()]
    primaries = sum("master" in line[2] and len(line) > 8 for line in lines)
    return primaries, sum("slave" in line[2] for line in lines), said(node, "cluster_slots_ok")


def test_a_second_bootstrap_changes_nothing(nodes: list[Node]) -> None:
    before = [said(node, "cluster_current_epoch") for node in nodes]
    bootstrap(nodes, at=5)
    assert [said(node, "cluster_current_epoch") for node in nodes] == before


def test_a_stopping_primary_hands_over_all_of_its_data(nodes: list[Node]) -> None:
    primaries = [node for node in nodes if node.ask("role").startswith("master")]
    for number in range(100):
        assert any(node.ask("set", f"k{number}", "1") == "OK" for node in primaries)
    for node in primaries:
        assert node.run("handover.sh").returncode == 0
        assert node.ask("role").startswith("slave")
    heirs = [node for node in nodes if node.ask("role").startswith("master")]
    assert {node.name for node in heirs}.isdisjoint(node.name for node in primaries)
    assert sum(int(node.ask("dbsize")) for node in heirs) == 100
    assert primaries[0].run("handover.sh").returncode == 0, "a replica has nothing to hand over"
    bootstrap(nodes)


def test_a_node_is_ready_when_it_can_take_over(nodes: list[Node]) -> None:
    eventually(lambda: all(node.run("ready.sh").returncode == 0 for node in nodes))
    (replica, *_) = [node for node in nodes if node.ask("role").startswith("slave")]
    assert replica.ask("config", "set", "masterauth", "wrong") == "OK"
    replica.ask("client", "kill", "type", "master")
    eventually(lambda: replica.run("ready.sh").returncode == 1)
    assert replica.ask("config", "set", "masterauth", replica.password) == "OK"
    eventually(lambda: replica.run("ready.sh").returncode == 0)


def test_nodes_that_all_have_new_addresses_find_each_other(nodes: list[Node]) -> None:
    for node in nodes:
        node.kill()
    for node in nodes:
        node.restart(elsewhere=True)
    for node in nodes:
        assert node.run("rejoin.sh", NODES=names(nodes)).returncode == 0
    eventually(lambda: all(shape(node) == (3, 3, 16384) for node in nodes))


def test_a_node_that_lost_its_volume_becomes_a_replica_again(nodes: list[Node]) -> None:
    lost, *others = nodes
    number, primary = lost.ask("cluster", "myid"), lost.ask("role").startswith("master")
    lost.kill()
    lost.wipe()
    if primary:
        eventually(lambda: all(said(node, "cluster_slots_ok") == 16384 for node in others))
    lost.restart()
    assert said(lost, "cluster_known_nodes") == 1
    others[0].ask("--cluster", "call", others[0].name, "cluster", "forget", number)
    bootstrap(nodes, at=1)
    assert lost.ask("role").startswith("slave")


def test_an_interrupted_bootstrap_goes_on() -> None:
    with six() as fresh:
        assert fresh[0].run("rejoin.sh", NODES=names(fresh)).returncode == 0
        assert said(fresh[0], "cluster_known_nodes") == 1, "a new node waits for the bootstrap"
        assert fresh[0].run("ready.sh").returncode == 1
        fresh[0].ask("cluster", "meet", "127.0.0.1", str(fresh[1].port))
        fresh[0].ask("cluster", "addslots", *map(str, range(5461)))
        bootstrap(fresh, at=2)


def test_scripts_are_posix() -> None:
    """The scripts use no features of bash: the image's sh is dash, as Debian's is here."""
    assert Path("/bin/sh").resolve().name == "dash"
    for folder in FOLDERS:
        for path in folder.glob("*.sh"):
            text = path.read_text()
            assert not re.search(r"\[\[|\blocal\b|\bfunction\b|<<<|<\(", text), path.name
