"""The cores of each process: the server under test has its own, if there are enough."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """Core numbers as taskset reads them. `workers` are the cores of a service with more than one worker."""

    server: str
    redis: str
    client: str
    workers: str
    note: str


def placement(cores: list[int] | None = None) -> Placement:
    """Return the best placement on these cores; by default those that this process may use."""
    names = [str(core) for core in (sorted(os.sched_getaffinity(0)) if cores is None else cores)]
    everything = ",".join(names)
    if len(names) == 1:
        note = "one core only: server, Redis and client share it, so no figure is the server's own"
        return Placement(everything, everything, everything, everything, note)
    if len(names) == 2:
        note = f"server on core {names[0]}; Redis and client share core {names[1]}"
        return Placement(names[0], names[1], names[1], everything, note)
    if len(names) == 3:
        note = f"server on core {names[0]}, Redis on {names[1]}, client on {names[2]}"
        return Placement(names[0], names[1], names[2], ",".join(names[:2]), note)
    note = f"server on core {names[0]} (two workers: and {names[3]}), Redis on {names[1]}, client on {names[2]}"
    return Placement(names[0], names[1], names[2], f"{names[0]},{names[3]}", note)
