"""Changes to a history, most of which make it impossible."""

from collections.abc import Callable
from random import Random

from tests.faults.history import History, Outcome, Read, Write
from tests.faults.simulated import etag


def _calls(made: History) -> list[Write | Read]:
    return [*made.writes, *made.reads]


def shifted(made: History, random: Random) -> None:
    """Move a call to another time."""
    call = random.choice(_calls(made))
    away = random.uniform(-6, 6)
    call.invoked, call.returned = call.invoked + away, call.returned + away


def renumbered(made: History, random: Random) -> None:
    """Change the version in an answer."""
    if calls := [call for call in _calls(made) if call.version]:
        random.choice(calls).version = random.randint(1, max(call.version or 1 for call in calls) + 1)


def exchanged(made: History, random: Random) -> None:
    """Exchange the versions in the answers of two writes."""
    if len(acknowledged := [write for write in made.writes if write.version]) > 1:
        one, other = random.sample(acknowledged, 2)
        one.version, other.version = other.version, one.version


def seen_otherwise(made: History, random: Random) -> None:
    """Let a read see the value of another write."""
    if (reads := [read for read in made.reads if read.value]) and made.writes:
        read = random.choice(reads)
        read.value = random.choice(made.writes).value
        read.etag = etag(read.value)


def based_otherwise(made: History, random: Random) -> None:
    """Let a read see, in the members that patches leave, the value of another write."""
    if (reads := [read for read in made.reads if read.replaced_by]) and made.writes:
        random.choice(reads).replaced_by = random.choice(made.writes).value


def ended_otherwise(made: History, random: Random) -> None:
    """Change the outcome of a write."""
    if made.writes:
        write = random.choice(made.writes)
        write.outcome = random.choice(list(Outcome))
        if write.outcome is not Outcome.OK:
            write.version = write.etag = None


def conditioned(made: History, random: Random) -> None:
    """Add a condition to a write, or change it."""
    if made.writes and (etags := [each.etag for each in _calls(made) if each.etag]):
        random.choice(made.writes).expected = random.choice(etags)


def lost(made: History, random: Random) -> None:
    """Add an acknowledged write that never took effect: no read sees it, and another write has its version."""
    if made.writes:
        write = random.choice(made.writes)
        copy = Write(write.key, f"x{len(made.writes)}", write.invoked, returned=write.returned, outcome=Outcome.OK)
        copy.version, copy.etag = write.version or 1, etag(copy.value)
        made.writes.append(copy)


Mutation = Callable[[History, Random], None]
MUTATIONS: tuple[Mutation, ...] = (
    shifted,
    renumbered,
    exchanged,
    seen_otherwise,
    based_otherwise,
    ended_otherwise,
    conditioned,
    lost,
)
