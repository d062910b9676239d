"""`python -m bench.fairness`: the slowest GET of another tenant while a worker processes the largest documents.

One connection reads a small document repeatedly, from before the work begins until it is answered. The exit status is 1
if any of these answers took longer than `WITHIN`. The reported memory is the peak of the worker, and that of the
process that does its long work.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter, sleep
from urllib.parse import urlsplit

from bench.polystow import KEY, Polystow
from bench.processes import Unusable, peak_bytes
from bench.results import table

WITHIN = 0.2  # the longest time for an answer, in seconds
ROUNDS = 3
PAUSE = 0.001  # seconds between an answer and the next request
SIZE, HALF = 10_000_000, 9_000_000  # bytes
MEBIBYTE = 1024 * 1024
JSON = "/api/v1/storage/json"
USERS = "/api/mktplace/storage/users?operation="
GOOD, REFUSED = (200, 201, 204, 413), 503

Ask = Callable[[], int | None]


def nested(size: int) -> bytes:
    """Return an object with arrays that are nested 450 deep."""
    return b'{"a":[%b]}' % b",".join([b"[" * 450 + b"]" * 450] * (size // 901 - 1))


def brackets(size: int) -> bytes:
    """Return the document whose merge with a short patch takes longest: it has many values that take several steps."""
    return b"{%b}" % b",".join([b'"a":' + b"[" * 33 + b"]" * 33] * (size // 71 - 1))


def members(count: int) -> bytes:
    return b"{%b}" % b",".join(b'"%d":1' % n for n in range(count))


class Bench:
    def __init__(self, service: Polystow) -> None:
        self._host = urlsplit(service.url).netloc
        (self._worker,) = service.workers()
        self.ask("PUT", f"{JSON}/other/small", b'{"a":1}')

    def ask(self, method: str, path: str, body: bytes = b"", form: bool = False) -> int:
        """Send one request on its own connection, read the whole answer and return its status."""
        token = KEY if path.startswith(JSON) else "bench-token"
        type = "application/x-www-form-urlencoded" if form else "application/json"
        connection = HTTPConnection(self._host, timeout=120)
        connection.request(method, path, body, {"Authorization": f"Bearer {token}", "Content-Type": type})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        if answer.status not in (*GOOD, REFUSED):
            raise Unusable(f"{method} {path}: {answer.status} {said[:200]!r}")
        return answer.status

    def put(self, *names: str, body: bytes) -> None:
        for name in names:
            self.ask("PUT", f"{JSON}/large/{name}", body)

    def patch(self, *names: str, body: bytes = b'{"zz":1}') -> list[Ask]:
        return [partial(self.ask, "PATCH", f"{JSON}/large/{name}", body) for name in names]

    def publish(self, body: bytes) -> None:
        for key in ("public_ext_k", "public_priv_k"):
            head = b'{"id":"UID-bench","key":"%b","overwrite":true,"value":' % key.encode()
            self.ask("POST", f"{USERS}PUT", head + body + b"}")

    def measured(self, name: str, work: Sequence[Ask]) -> tuple[float, list[str]]:
        """Return the slowest answer during this work, and the row of the report."""
        connection = HTTPConnection(self._host, timeout=120)
        head = {"Authorization": f"Bearer {KEY}"}
        waits: list[float] = []
        for pid in self._pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets the peak
        with ThreadPoolExecutor(len(work)) as threads:
            began, doing = perf_counter(), list[Future[int | None]]()
            while not doing or not all(each.done() for each in doing):
                asked = perf_counter()
                connection.request("GET", f"{JSON}/other/small", headers=head)
                connection.getresponse().read()
                waits.append(perf_counter() - asked)
                doing = doing or [threads.submit(each) for each in work]
                sleep(PAUSE)
            refused = [each.result() for each in doing].count(REFUSED)
        connection.close()
        took, slowest = perf_counter() - began, max(waits)
        figures = [f"{took * 1000:.0f}", str(refused), str(len(waits)), f"{slowest * 1000:.0f}"]
        memory = [f"{peak_bytes(pid) / MEBIBYTE:.0f}" for pid in self._pids()]
        return slowest, [name, *figures, *memory, *["-"] * (2 - len(memory))]

    def _pids(self) -> list[int]:
        listed = [path.read_text() for path in Path(f"/proc/{self._worker}/task").glob("*/children")]  # of each thread
        return [self._worker, *map(int, " ".join(listed).split())]


def cases(bench: Bench) -> Iterator[tuple[str, Sequence[Ask]]]:
    """Return the cases to measure, after storing the data that they need."""
    deep, slow, many = nested(SIZE), brackets(SIZE), members(900_000)
    yield "nothing", [partial(sleep, 0.5)]
    bench.put("n", "n1", "n2", body=deep)
    yield "PATCH, arrays nested 450 deep", bench.patch("n")
    yield "three of them", bench.patch("n", "n1", "n2")
    bench.put("s", "s1", "s2", body=slow)
    yield "three PATCHes of the slowest shape", bench.patch("s", "s1", "s2")
    bench.put("m", body=many)
    yield "PATCH with 10 MB, of 10 MB", bench.patch("m", body=many)
    for name, make in (("nested", nested), ("slowest", brackets)):
        bench.publish(make(HALF))
        shared = partial(bench.ask, "GET", "/publicvalues/user?key=k&users=UID-bench")
        yield f"public values of 2 x 9 MB, {name}", [shared]
        yield "two of them", [shared] * 2
    yield "three PUTs of 10 MB, nested", [partial(bench.put, name, body=deep) for name in ("n", "n1", "n2")]
    yield "three PUTs of the same, other dialect", [partial(bench.publish, nested(HALF))] * 3
    form = b"id=UID-bench&key=k&overwrite=true&value=%5B" + b"%5B%5D%2C" * 1_100_000 + b"1%5D"
    yield "form of 10 MB, percent-encoded", [partial(bench.ask, "POST", f"{USERS}PUT", form, form=True)]
    ids = json.dumps({"keys": ["k"], "ids": [f"{n:x}" for n in range(1_000_000)]}).encode()
    yield "list of 1,000,000 ids", [partial(bench.ask, "POST", f"{USERS}GET", ids)]


def main() -> int:
    slowest, rows = 0.0, []
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch, Polystow(Path(scratch), workers=1) as service:
            bench = Bench(service)
            for name, work in cases(bench):
                found, row = max(bench.measured(name, work) for _ in range(ROUNDS))
                slowest = max(slowest, found)
                rows.append(row)
    except Unusable as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(
        table(["beside", "took, ms", "refused", "GETs", "slowest GET, ms", "worker, MiB", "second process, MiB"], rows)
    )
    print(f"slowest GET: {slowest * 1000:.0f} ms; at most {WITHIN * 1000:.0f} are good")
    return 0 if slowest <= WITHIN else 1


if __name__ == "__main__":
    sys.exit(main())
