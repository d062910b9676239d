"""Simulates histories of one register, either a correct one or one with a single flaw.

Several clients call concurrently; each makes one call after the other. A call takes effect at one moment between its
beginning and its end, in the order of these moments. Writes replace the record or patch it, some under a condition.
Reads show everything, only the value, or only version and etag.
"""

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from tests.faults.history import History, Outcome, Read, Write

FLAWS = ("lost", "doubled", "stale", "reordered", "half refused", "two winners", "torn")
KEY = "k"


class State(NamedTuple):
    version: int = 0
    value: str | None = None
    base: str | None = None


@dataclass
class Register:
    past: list[State] = field(default_factory=lambda: [State()])

    @property
    def now(self) -> State:
        return self.past[-1]

    def write(self, write: Write) -> int:
        state = State(self.now.version + 1, write.value, write.value if write.replaces else self.now.base)
        self.past.append(state)
        return state.version


def etag(value: str | None) -> str | None:
    return value and f"etag of {value}"


def shown(read: Read, state: State, kind: str) -> Read:
    """Fill in what a read of this kind shows of a state, and return the read."""
    if state.version == 0:
        read.version = 0
        return read
    read.etag = etag(state.value)
    if kind != "version":
        read.value, read.replaced_by = state.value, state.base
    if kind != "value":
        read.version = state.version
    return read


class Simulation:
    """The simulation of one history of one key.

    With a flaw, there are no writes of unknown outcome, which could explain the flaw, and each read shows everything.
    """

    def __init__(self, random: Random, flaw: str) -> None:
        self.random, self.flaw, self.flawed = random, flaw, not flaw
        self.register, self.made = Register(), History()
        self.due: list[tuple[float, Write]] = []  # writes that take effect after their caller has given up, or twice
        self.etags: list[str] = []  # that clients have seen

    def calls(self, clients: int, calls: int) -> None:
        moments = sorted(_moments(self.random, clients, calls))
        third = moments[len(moments) // 3][0]
        for number, (moment, begun, ended) in enumerate(moments):
            for late in [late for late in self.due if late[0] < moment]:
                self.register.write(late[1])
                self.due.remove(late)
            wanted = not self.flawed and moment > third
            if self.random.random() < 0.5:
                self._read(begun, ended, wanted)
            else:
                self._write(f"v{number}", begun, ended, wanted)
        for _, write in self.due:
            self.register.write(write)
        end = max(ended for _, _, ended in moments) + 100
        self.made.reads.append(shown(Read(KEY, end, end + 1), self.register.now, "all"))

    def _read(self, begun: float, ended: float, wanted: bool) -> None:
        state = self.register.now
        if self.flaw == "stale" and wanted and self._settled(begun):
            state, self.flawed = self.register.past[-2], True
        kind = "all" if self.flaw else self.random.choice(["all", "all", "value", "version"])
        self.made.reads.append(shown(Read(KEY, begun, ended), state, kind))
        if tag := self.made.reads[-1].etag:
            self.etags.append(tag)

    def _settled(self, begun: float) -> bool:
        """Return True if the newest write had been acknowledged before this moment."""
        return any(w.version == self.register.now.version and w.returned < begun for w in self.made.writes)

    def _write(self, value: str, begun: float, ended: float, wanted: bool) -> None:
        write = Write(KEY, value, begun, self.random.random() < 0.7, returned=ended, outcome=Outcome.OK)
        if self.register.now.version == 0:
            write.replaces = True
        if self.etags and self.random.random() < 0.3:
            write.expected = self.random.choice(self.etags[-4:])
        if not (wanted and self.flaw and self._flaw(write)):
            self._carry_out(write)
        self.made.writes.append(write)
        if write.outcome is Outcome.OK:
            write.etag = etag(value)
            self.etags.append(str(write.etag))

    def _carry_out(self, write: Write) -> None:
        fate = self.random.random() * (0.8 if self.flaw else 1)
        holds = write.expected in (None, etag(self.register.now.value))
        if 0.7 <= fate < 0.8 or (fate < 0.7 and not holds):
            write.outcome = Outcome.REFUSED
        elif fate < 0.7:
            write.version = self.register.write(write)
        else:
            write.outcome = Outcome.UNKNOWN
            if fate < 0.87 and holds:
                self.register.write(write)
            elif 0.87 < fate < 0.93 and write.expected is None:
                self.due.append((write.returned + 5 * self.random.random(), write))

    def _flaw(self, write: Write) -> bool:
        """Make the flaw with this write if the state allows it. Return False if it does not."""
        register, before = self.register, self.made.writes[-1:]
        if self.flaw == "two winners" and len(register.past) > 2:
            write.expected, write.version = etag(register.past[-2].value), register.write(write)
        elif self.flaw == "torn" and not write.replaces and register.past[-1].base != register.past[-2].base:
            write.expected, write.version = None, register.write(write)
            register.past[-1] = register.now._replace(base=register.past[-3].base or "v?")
            self.made.reads.append(shown(Read(KEY, write.returned, write.returned), register.now, "all"))
        elif self.flaw in ("lost", "doubled", "half refused"):
            write.expected = None
            write.version = register.now.version + 1 if self.flaw == "lost" else register.write(write)
            if self.flaw == "doubled":
                self.due.append((write.returned + self.random.random(), write))
            if self.flaw == "half refused":
                write.outcome, write.version = Outcome.REFUSED, None
        elif self.flaw == "reordered" and before and before[0].version == register.now.version:
            other = before[0]  # took effect after this write, although it was acknowledged before this write began
            if other.returned > write.invoked - 0.5:
                return False
            write.expected = other.expected = None
            register.past.pop()
            write.version, other.version = register.write(write), register.write(other)
        else:
            return False
        self.flawed = True
        return True


def history(random: Random, *, clients: int = 4, calls: int = 12, flaw: str = "") -> tuple[History, bool]:
    """Simulate a history of one key. The second result is True if the history has the flaw."""
    simulation = Simulation(random, flaw)
    simulation.calls(clients, calls)
    return simulation.made, simulation.flawed and bool(flaw)


def _moments(random: Random, clients: int, calls: int) -> list[tuple[float, float, float]]:
    """Return the moments at which each call takes effect, begins and ends."""
    made = []
    for _ in range(clients):
        now = random.random()
        for _ in range(calls):
            begun = now + random.random()
            ended = begun + 0.01 + 3 * random.random() ** 2
            made.append((random.uniform(begun, ended), begun, ended))
            now = ended
    return made
