"""The address of Redis: a URL, read once, from which fresh connections are made.

Invariant: nothing that is printed of an Address (`str`, `repr`, an error) holds its password.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SCHEMES = {"redis": Connection, "rediss": SSLConnection, "unix": UnixDomainSocketConnection}
CONNECT_SECONDS = 2.0  # for the socket, and for each answer of the handshake

OPTIONS = frozenset({"db", "username", "password"})
TLS_OPTIONS = frozenset(
    {
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_keyfile",
        "ssl_min_version",
        "ssl_password",
    }
)


@dataclass(frozen=True)
class Address:
    """A parsed URL. `place` is `host:port` (several, with commas, of a cluster or of sentinels) or a socket's path.

    `settings` are for redis-py's connection to a server, `sentinel` for those to its sentinels; `seeds` are who is
    asked where the servers are, `service` the name that the sentinels know them by.
    """

    scheme: str
    place: str
    db: int
    username: str
    settings: dict[str, Any] = field(repr=False)
    seeds: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel: dict[str, Any] = field(repr=False, default_factory=dict)

    def __str__(self) -> str:
        """The URL, fit for logs."""
        secret = ":***" if "password" in self.settings else ""
        login = f"{quote(self.username)}{secret}@" if self.username or secret else ""
        service = f"/{quote(self.service, safe='')}" if self.service else ""
        database = {"unix": f"?db={self.db}", "cluster": ""}.get(self.topology or self.scheme, f"/{self.db}")
        return f"{self.scheme}://{login}{quote(self.place, safe='/:[],')}{service}{database}"

    @property
    def topology(self) -> str:
        """`cluster`, `sentinel`, or nothing for one server at a fixed place."""
        return self.scheme.partition("+")[2]

    def at(self, host: str, port: int) -> "Address":
        """Return the address of one of the servers, with the other options unchanged."""
        settings = self.settings | {"host": host, "port": port}
        return replace(self, scheme=_base(self.scheme), place=f"{_bracketed(host)}:{port}", settings=settings)


def parse(url: str) -> Address:
    """Read a URL; raises ValueError, in words.

    `redis://`, `rediss://` (TLS) and `unix://` are as redis-py defines them. `redis+cluster://` and `redis+sentinel://`,
    or with `rediss`, name several hosts; the latter's path is the service's name and perhaps a database.
    """
    scheme = url.partition("://")[0]
    if scheme not in TOPOLOGIES:
        # Text without "://" may be a password that was pasted into the wrong setting: not repeated.
        what = f"the scheme of the Redis URL, {scheme}," if "://" in url else "the scheme of the Redis URL"
        raise ValueError(f"{what} is not one of {', '.join(TOPOLOGIES)}")
    return TOPOLOGIES[scheme](scheme, url)


def _single(scheme: str, url: str, port: int = 6379) -> Address:
    try:
        settings: dict[str, Any] = dict(parse_url(url))
        path = urlsplit(url).path
    except ValueError:
        # Its text may quote a piece of the password.
        text = "the Redis URL is malformed; special characters of a password must be percent-encoded"
        raise ValueError(text) from None
    settings.pop("connection_class", None)
    if scheme != "unix":
        settings.setdefault("port", port)
    _check(scheme, path, settings)
    place = settings["path"] if scheme == "unix" else f"{_bracketed(settings['host'])}:{settings['port']}"
    return Address(scheme, place, settings.setdefault("db", 0), settings.get("username", ""), settings)


def _each(scheme: str, url: str, path: str, query: str, port: int) -> list[Address]:
    """Return host and port of each host in a URL of several."""
    login, at, hosts = urlsplit(url).netloc.rpartition("@")
    base = _base(scheme)
    return [_single(base, f"{base}://{login}{at}{host}{path}?{query}", port) for host in hosts.split(",")]


def _cluster(scheme: str, url: str) -> Address:
    _, _, path, query, _ = _split(url)
    nodes = _each(scheme, url, path, query, 6379)
    if nodes[0].db:
        raise ValueError("the Redis URL names a database; a cluster has only database 0")
    return _gathered(scheme, nodes)


def _sentinel(scheme: str, url: str) -> Address:
    _, _, path, query, _ = _split(url)
    service, _, database = path.strip("/").partition("/")
    if not service:
        raise ValueError(f"the Redis URL names no service: {scheme}://host:26379,host:26379/service")
    options = dict(parse_qsl(query))
    own = {name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options}
    found = _gathered(scheme, _each(scheme, url, f"/{database}", urlencode(options), 26379))
    shared = {name: value for name, value in found.settings.items() if name in TLS_OPTIONS}
    return replace(found, service=unquote(service), sentinel=own | shared | {"ssl": _base(scheme) == "rediss"})


def _gathered(scheme: str, nodes: list[Address]) -> Address:
    seeds = tuple((node.settings["host"], node.settings["port"]) for node in nodes)
    return replace(nodes[0], scheme=scheme, place=",".join(node.place for node in nodes), seeds=seeds)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("the Redis URL is malformed") from None


def _base(scheme: str) -> str:
    return scheme.partition("+")[0]


TOPOLOGIES: dict[str, Callable[[str, str], Address]] = {
    "redis": _single,
    "rediss": _single,
    "unix": _single,
    "redis+cluster": _cluster,
    "rediss+cluster": _cluster,
    "redis+sentinel": _sentinel,
    "rediss+sentinel": _sentinel,
}


def _check(scheme: str, path: str, settings: dict[str, Any]) -> None:
    """Refuse what redis-py would ignore or only fail on when it connects."""
    where = {"path"} if scheme == "unix" else {"host", "port"}
    known = OPTIONS | where | (TLS_OPTIONS if scheme == "rediss" else frozenset())
    if unknown := sorted(settings.keys() - known):
        raise ValueError(f"the Redis URL has an option that is not known for {scheme}: {unknown[0]}")
    if scheme == "unix":
        if "path" not in settings:
            raise ValueError("the Redis URL names no socket: unix:///path/to/redis.sock")
        return
    if "host" not in settings:
        raise ValueError(f"the Redis URL names no host: {scheme}://host:6379/0")
    if path.strip("/") and not path.strip("/").isdigit():
        raise ValueError("the path of the Redis URL is not the number of a database")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def connection(address: Address) -> AbstractConnection:
    """A fresh connection, not yet connected. It repeats nothing by itself: that is the lane's decision.

    RESP2, because nothing here needs RESP3's types, and its pushes would come between replies. CLIENT SETINFO
    is left out (`driver_info`): before Redis 7.2 it is an error, counted by the server at each connect. CLIENT
    SETNAME is left to `wire`, which forgives a server that forbids it.
    """
    kind: type[AbstractConnection] = SCHEMES[address.scheme]
    return kind(**address.settings, **connection_options())


def connection_options(seconds: float = CONNECT_SECONDS) -> dict[str, Any]:
    """Return the options of every connection: bytes as they come, nothing repeated; `seconds` for each step."""
    return {
        "protocol": 2,
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "driver_info": None,
        "maint_notifications_config": None,
    }
