"""`python -m bench.followers`: PUTs to a category while thousands of streams follow it.

The followers are sockets in a process of their own, which only counts the bytes that arrive. One connection puts
documents one after another, with a pause between them, so that each PUT comes while the followers are still being
served. With `--unread` the streams are not read, to measure the memory of the worker.
"""

import argparse
import json
import multiprocessing
import select
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench.placement import placement
from bench.polystow import ACCESS, KEY, PROJECT, Polystow
from bench.processes import Unusable, cpu_seconds, peak_bytes, resident_bytes

HEAD = f"Host: bench\r\nAuthorization: Bearer {KEY}\r\n"
MARK = b"event: change"
AT_ONCE = 500  # connections that are opened before their answers are awaited
SETTLE_SECONDS = 60.0


class Stream:
    """A follower's socket, and the number of changes that have arrived on it."""

    def __init__(self, place: tuple[str, int], category: str, *, unread: bool) -> None:
        self.socket = socket.socket()
        if unread:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(place)
        ask = f"GET /api/v1/storage/changes/{category}?since=now HTTP/1.1\r\n{HEAD}Accept: text/event-stream\r\n\r\n"
        self.socket.sendall(ask.encode())
        self.changes = 0
        self._rest = b""

    def begin(self) -> None:
        """Read the head. Raises Unusable if the feed was refused."""
        head = self.socket.recv(4096)
        if not head.startswith(b"HTTP/1.1 200"):
            raise Unusable(f"the feed was refused: {head.decode()}")
        self.socket.setblocking(False)

    def receive(self) -> bool:
        """Count the changes that have arrived. Return False at the end of the stream."""
        try:
            piece = self.socket.recv(262_144)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not piece:
            return False
        piece = self._rest + piece
        self.changes += piece.count(MARK)
        self._rest = piece[-len(MARK) + 1 :]
        return True


def follow(place: tuple[str, int], categories: int, count: int, unread: bool, link: Connection) -> None:
    """Open the streams and report it. When asked, send the number of changes of each stream and the last one's time."""
    streams: dict[int, Stream] = {}
    while len(streams) < count:
        opened = [
            Stream(place, f"followed-{number % categories}", unread=unread)
            for number in range(len(streams), min(count, len(streams) + AT_ONCE))
        ]
        for stream in opened:
            stream.begin()
            streams[stream.socket.fileno()] = stream
    poll = select.epoll()
    poll.register(link.fileno(), select.EPOLLIN)
    for number in () if unread else streams:
        poll.register(number, select.EPOLLIN)
    link.send(len(streams))
    last = time.monotonic()
    while True:
        for number, _ in poll.poll():
            if number == link.fileno():
                if link.recv() == "stop":
                    return
                link.send((sum(stream.changes for stream in streams.values()), last))
                continue
            if not streams[number].receive():
                poll.unregister(number)
            last = time.monotonic()


class Writer:
    """Puts documents one after another, and stores the time that each took."""

    def __init__(self, place: tuple[str, int], size: int, categories: int) -> None:
        self._socket = socket.create_connection(place)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._body = b'["%b"]' % (b"x" * (size - 4))
        self._categories = categories
        self.seconds: list[float] = []

    def close(self) -> None:
        self._socket.close()

    def put(self) -> None:
        """Put one document in each category."""
        for number in range(self._categories):
            line = f"PUT /api/v1/storage/json/followed-{number}/k HTTP/1.1\r\n{HEAD}"
            begun = time.monotonic()
            self._socket.sendall(f"{line}Content-Length: {len(self._body)}\r\n\r\n".encode() + self._body)
            answer = b""
            while not answer.endswith(b"}"):
                answer += self._socket.recv(65_536)
            self.seconds.append(time.monotonic() - begun)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise Unusable(f"a write was refused: {answer.decode()}")


def measure(service: Polystow, options: argparse.Namespace) -> dict[str, object]:
    url = urlsplit(service.url)
    place = str(url.hostname), int(url.port or 0)
    (worker,) = service.workers()
    link, end = multiprocessing.Pipe()
    given = (place, options.categories, options.followers, options.unread, end)
    client = multiprocessing.get_context("fork").Process(target=follow, args=given, daemon=True)
    client.start()
    try:
        if not link.poll(300):
            raise Unusable("the streams were not opened")
        link.recv()
        before, cpu = resident_bytes(worker), cpu_seconds([worker])
        writer = Writer(place, options.size, options.categories)
        begun = time.monotonic()
        while time.monotonic() < begun + options.seconds:
            writer.put()
            time.sleep(options.pause)
        written = time.monotonic()
        wanted = len(writer.seconds) * options.followers // options.categories
        got, last = 0, written
        while time.monotonic() < written + (5 if options.unread else SETTLE_SECONDS):
            link.send("count")
            got, last = link.recv()
            if got == wanted:
                break
            time.sleep(0.05)
        link.send("stop")
        writer.close()
        took = sorted(writer.seconds)
        return {
            "followers": options.followers,
            "PUTs": len(took),
            "PUT in ms": {
                "median": round(1000 * median(took), 2),
                "p99": round(1000 * took[int(len(took) * 0.99)], 2),
                "most": round(1000 * took[-1], 2),
            },
            "changes received": got,
            "changes not received": wanted - got,
            "seconds from the last PUT to the last change": round(max(0.0, last - written), 2),
            "microseconds of the worker for each change received": round(
                1e6 * (cpu_seconds([worker]) - cpu) / (got or 1)
            ),
            "MiB before, at most": [round(before / 2**20), round(peak_bytes(worker) / 2**20)],
            "placement": placement().note,
        }
    finally:
        client.kill()
        client.join()
        link.close()
        end.close()


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.followers", description=__doc__)
    parser.add_argument("--followers", type=int, default=5000, help="streams [5000]")
    parser.add_argument("--categories", type=int, default=1, help="categories that they follow [1]")
    parser.add_argument("--size", type=int, default=100, help="bytes of a document [100]")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two PUTs [0.02]")
    parser.add_argument("--seconds", type=float, default=10, help="how long [10]")
    parser.add_argument("--unread", action="store_true", help="let nobody read the streams")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    ACCESS["ainoflow"]["projects"] = [{"id": PROJECT, "journal": {}}]  # type: ignore[index]
    try:
        with tempfile.TemporaryDirectory(prefix="followers-") as scratch, Polystow(Path(scratch)) as service:
            result = measure(service, options)
    except Unusable as error:
        print(f"followers: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    return 1 if result["changes not received"] and not options.unread else 0


if __name__ == "__main__":
    sys.exit(main())
