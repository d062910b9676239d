"""wrk as the client: one thread on its own core. It gets its order as Lua, and prints one line of JSON."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.processes import program

SCRIPTS = Path(__file__).with_name("wrk")
LATE_SECONDS = 30.0  # time after its duration for wrk to end by itself


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of request. `KEY` in its path or in its body stands for the key."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Sample:
    """The results of one run: latencies in milliseconds, `cpu` in microseconds per request, by process."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int  # answers with a status from 400 on
    broken: int  # connections that failed, and answers that did not come in time
    cpu: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Order:
    """A run: `script` is one of wrk/*.lua, `parts` are requests with their weights, of 100.

    Keys are the numbers from `first` on, or `names` if there are any.
    """

    script: str
    parts: Sequence[tuple[int, Request]]
    connections: int
    keys: int = 1
    first: int = 0  # the first key
    seed: int = 1
    names: Sequence[str] = ()

    def text(self) -> str:
        """Return the order as Lua."""
        parts = [
            {
                "weight": weight,
                "method": request.method,
                "path": request.path,
                "headers": request.headers,
                "body": request.body,
            }
            for weight, request in self.parts
        ]
        whole = {
            "parts": parts,
            "keys": self.keys,
            "first": self.first,
            "seed": self.seed,
            "names": list(self.names),
        }
        return f"return {literal(whole)}\n"


def literal(value: Any) -> str:
    """Return a value as a Lua expression."""
    match value:
        case dict():
            return "{" + ", ".join(f"[{literal(name)}] = {literal(each)}" for name, each in value.items()) + "}"
        case list():
            return "{" + ", ".join(map(literal, value)) + "}"
        case int():
            return str(value)
        case str():
            return literal(value.encode())
        case bytes():
            return '"' + "".join(chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\{c:03d}" for c in value) + '"'
    raise TypeError(f"no Lua for {type(value).__name__}")


def run(url: str, order: Order, seconds: int, *, directory: Path, cores: str = "") -> Sample:
    """Run wrk for some seconds. Raises subprocess.CalledProcessError."""
    file = directory / "order.lua"
    file.write_text(order.text())
    command = [
        program("wrk"),
        "--threads",
        "1",
        "--connections",
        str(order.connections),
        "--duration",
        f"{seconds}s",
        "--timeout",
        "10s",
        "--latency",
        "--script",
        f"{order.script}.lua",
        url,
        "--",
        str(file),
    ]
    pinned = ["taskset", "-c", cores, *command] if cores else command
    done = subprocess.run(
        pinned, cwd=SCRIPTS, capture_output=True, text=True, check=True, timeout=seconds + LATE_SECONDS
    )
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return Sample(
        told["requests"],
        told["duration"] / 1e6,
        told["p50"] / 1000,
        told["p99"] / 1000,
        told["refused"],
        told["broken"],
    )
