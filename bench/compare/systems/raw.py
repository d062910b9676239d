"""Redis itself, measured with redis-benchmark, without HTTP: the limit of every service in front of it."""

import csv
import subprocess
from contextlib import ExitStack

from bench.compare.system import System
from bench.compare.workloads import Kind, Workload
from bench.compare.wrk import Request, Sample
from bench.processes import cpu_seconds, program
from bench.redis_server import RedisServer

PER_SECOND = 80_000  # requests in place of a second of wrk, because redis-benchmark counts requests


class RawRedis(System):
    name = "raw Redis"
    about = "redis-server on the server's core, asked by redis-benchmark: GET and SET without HTTP"
    everything = False

    def start(self, stack: ExitStack) -> None:
        self.redis = stack.enter_context(RedisServer(self.directory, self.placement.server))
        self.processes = {"redis": [self.redis.pid]}

    def request(self, kind: Kind, place: str, size: int) -> Request | None:
        return None

    def knows(self, workload: Workload) -> bool:
        return workload.main and not workload.fresh and workload.parts[0] in ((100, "get"), (100, "put"))

    def measure(self, workload: Workload, seconds: int, turn: int) -> Sample:
        command = [
            "taskset",
            "-c",
            self.placement.client,
            program("redis-benchmark"),
            "-p",
            str(self.redis.port),
            "-c",
            str(workload.connections),
            "-n",
            str(PER_SECOND * seconds),
            "-d",
            str(workload.size),
            "-r",
            str(workload.keys),
            "-t",
            "get" if workload.parts[0][1] == "get" else "set",
            "--csv",
        ]
        before = cpu_seconds([self.redis.pid])
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        used = cpu_seconds([self.redis.pid]) - before
        row = next(csv.DictReader(told.splitlines()))
        requests = PER_SECOND * seconds
        return Sample(
            requests,
            requests / float(row["rps"]),
            float(row["p50_latency_ms"]),
            float(row["p99_latency_ms"]),
            0,
            0,
            {"redis": 1e6 * used / requests},
        )
