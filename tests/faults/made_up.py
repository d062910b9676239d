"""Histories that never were: of a register as it should be, or of one with a single flaw.

Clients call one after the other, all at once; each call takes effect at one moment between its beginning and its end,
and the register is what these moments make of it.
"""

from dataclasses import dataclass, field
from random import Random

from tests.faults.history import History, Outcome, Read, Write

FLAWS = ("lost", "doubled", "stale", "reordered", "half refused")
KEY = "k"


@dataclass
class Register:
    version: int = 0
    value: str | None = None
    past: list[tuple[int, str | None]] = field(default_factory=lambda: [(0, None)])

    def write(self, value: str) -> int:
        self.version += 1
        self.value = value
        self.past.append((self.version, value))
        return self.version


def history(random: Random, *, clients: int = 4, calls: int = 12, flaw: str = "") -> tuple[History, bool]:
    """A history of one key, and whether the flaw got into it. One with a flaw has no write of unknown outcome, which
    might be an innocent reason for what is seen."""
    register, made, flawed = Register(), History(), not flaw
    moments = sorted(_moments(random, clients, calls))
    due: list[tuple[float, str]] = []  # writes that take effect after their caller gave up, or once more
    for number, (moment, begun, ended) in enumerate(moments):
        for at, value in [late for late in due if late[0] < moment]:
            register.write(value)
            due.remove((at, value))
        wanted = not flawed and moment > moments[len(moments) // 3][0]
        if random.random() < 0.5:
            version, seen = register.version, register.value
            if flaw == "stale" and wanted and any(w.version == version and w.returned < begun for w in made.writes):
                version, seen = register.past[-2]
                flawed = True
            made.reads.append(Read(KEY, begun, ended, seen, version=version))
            continue
        write = Write(KEY, f"v{number}", begun, returned=ended, outcome=Outcome.OK)
        made.writes.append(write)
        if flaw == "lost" and wanted:
            write.version, flawed = register.version + 1, True
        elif flaw == "doubled" and wanted:
            write.version, flawed = register.write(write.value), True
            due.append((ended + random.random(), write.value))
        elif flaw == "half refused" and wanted:
            register.write(write.value)
            write.outcome, flawed = Outcome.REFUSED, True
        elif flaw == "reordered" and wanted and len(made.writes) > 1 and made.writes[-2].returned < begun - 0.5:
            # Acknowledged in an order that is not the one in which they were asked for.
            other = made.writes[-2]
            if other.outcome is Outcome.OK and other.version == register.version:
                write.version, other.version, flawed = other.version, register.version + 1, True
                register.write(other.value)
        else:
            _carry_out(random, register, write, due, unknown=not flaw)
            continue
        if write.outcome is Outcome.OK and write.version is None:
            write.version = register.write(write.value)
    for _, value in due:
        register.write(value)
    end = max(ended for _, _, ended in moments) + 100
    made.reads.append(Read(KEY, end, end + 1, register.value, version=register.version))
    return made, flawed


def _carry_out(
    random: Random, register: Register, write: Write, due: list[tuple[float, str]], *, unknown: bool
) -> None:
    fate = random.random() * (1 if unknown else 0.8)
    if fate < 0.7:
        write.version = register.write(write.value)
    elif fate < 0.8:
        write.outcome = Outcome.REFUSED
    else:
        write.outcome = Outcome.UNKNOWN
        if fate < 0.87:
            register.write(write.value)
        elif fate < 0.93:
            due.append((write.returned + 5 * random.random(), write.value))


def _moments(random: Random, clients: int, calls: int) -> list[tuple[float, float, float]]:
    """When each call took effect, began and ended."""
    made = []
    for _ in range(clients):
        now = random.random()
        for _ in range(calls):
            begun = now + random.random()
            ended = begun + 0.01 + 3 * random.random() ** 2
            made.append((random.uniform(begun, ended), begun, ended))
            now = ended
    return made
