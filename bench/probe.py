"""A probe: a process that sends the same request every few milliseconds and records how long each answer takes.

It uses a blocking socket, because the delays of an event loop would be part of the result.
"""

import argparse
import json
import os
import socket
from pathlib import Path
from time import perf_counter, sleep

PAUSE = 0.002  # seconds between an answer and the next request
ANSWER_BYTES = 65_536  # an answer is short and comes in one piece


def probed(port: int, request: bytes, seconds: float) -> tuple[list[float], float]:
    """Return the latencies, and the seconds for which this process had to wait for its core."""
    latencies: list[float] = []
    kept = waited()
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = perf_counter() + seconds
        while (began := perf_counter()) < end:
            server.sendall(request)
            server.recv(ANSWER_BYTES)
            latencies.append(perf_counter() - began)
            sleep(PAUSE)
    return latencies, waited() - kept


def waited(pid: int | str = "self") -> float:
    """Return the seconds for which a process was ready to run and had no core (/proc/PID/schedstat)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.probe")
    parser.add_argument("port", type=int)
    parser.add_argument("request", help="with its ends of lines escaped")
    parser.add_argument("seconds", type=float)
    parser.add_argument(
        "--priority", type=int, help="of SCHED_FIFO, while it asks: to start takes long, and is not asking"
    )
    given = parser.parse_args()
    request = given.request.encode().decode("unicode_escape").encode()
    if given.priority:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(given.priority))
    found = probed(given.port, request, given.seconds)
    if given.priority:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    print(json.dumps(found))
