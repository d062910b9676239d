"""The address of Redis: a parsed URL, from which new connections are made.

Invariant: no printed form of an Address (`str`, `repr`, errors) contains its password.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SCHEMES = {"redis": Connection, "rediss": SSLConnection, "unix": UnixDomainSocketConnection}
CONNECT_SECONDS = 2.0  # for opening the socket, and for each reply of the handshake

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
    """A parsed URL. `place` is `host:port`, several of them with commas (cluster, sentinels), or the path of a socket.

    `settings` are redis-py's options for a connection to a server, `sentinel` those for a connection to a sentinel.
    `seeds` are the hosts that are asked for the servers; `service` is the sentinels' name of the primary.
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
        """Return the URL without its password, for logs."""
        secret = ":***" if "password" in self.settings else ""
        login = f"{quote(self.username)}{secret}@" if self.username or secret else ""
        service = f"/{quote(self.service, safe='')}" if self.service else ""
        database = {"unix": f"?db={self.db}", "cluster": ""}.get(self.topology or self.scheme, f"/{self.db}")
        return f"{self.scheme}://{login}{quote(self.place, safe='/:[],')}{service}{database}"

    @property
    def topology(self) -> str:
        """The topology: `cluster`, `sentinel`, or an empty string for a single server."""
        return self.scheme.partition("+")[2]

    def at(self, host: str, port: int) -> "Address":
        """Return the address of one of the servers, with the other options unchanged."""
        settings = self.settings | {"host": host, "port": port}
        return replace(self, scheme=_base(self.scheme), place=f"{_bracketed(host)}:{port}", settings=settings)


def parse(url: str) -> Address:
    """Parse a URL. Raises ValueError, with a text for the operator.

    `redis://`, `rediss://` (TLS) and `unix://` are as redis-py defines them. `redis+cluster://` and `redis+sentinel://`
    (with TLS `rediss+...`) name several hosts; the path of the latter is the service's name and optionally a database.
    """
    scheme = url.partition("://")[0]
    if scheme not in TOPOLOGIES:
        # A text without "://" may be a password in the wrong setting, so it is not shown.
        found = f", not {scheme}" if "://" in url else ""
        raise ValueError(f"the scheme of the Redis URL must be one of {', '.join(TOPOLOGIES)}{found}")
    return TOPOLOGIES[scheme](scheme, url)


def _single(scheme: str, url: str, port: int = 6379) -> Address:
    try:
        settings: dict[str, Any] = dict(parse_url(url))
        path = urlsplit(url).path
    except ValueError:
        # The text of the error may contain a part of the password.
        text = "the Redis URL is malformed; special characters in a password must be percent-encoded"
        raise ValueError(text) from None
    settings.pop("connection_class", None)
    if scheme != "unix":
        settings.setdefault("port", port)
    _check(scheme, path, settings)
    place = settings["path"] if scheme == "unix" else f"{_bracketed(settings['host'])}:{settings['port']}"
    return Address(scheme, place, settings.setdefault("db", 0), settings.get("username", ""), settings)


def _each(scheme: str, hosts: str, path: str, query: str, port: int) -> list[Address]:
    """Return an address for each of the hosts, which may have a login before them."""
    login, at, hosts = hosts.rpartition("@")
    base = _base(scheme)
    return [_single(base, f"{base}://{login}{at}{host}{path}?{query}", port) for host in hosts.split(",")]


def _cluster(scheme: str, url: str) -> Address:
    hosts, path, query = _split(url)
    nodes = _each(scheme, hosts, path, query, 6379)
    if nodes[0].db:
        raise ValueError("the Redis URL of a cluster must not name a database: a cluster has only database 0")
    return _gathered(scheme, nodes)


def _sentinel(scheme: str, url: str) -> Address:
    hosts, path, query = _split(url)
    service, _, database = path.strip("/").partition("/")
    if not service:
        raise ValueError(f"the Redis URL must name the service: {scheme}://host:26379,host:26379/service")
    options = dict(parse_qsl(query))
    own = {name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options}
    found = _gathered(scheme, _each(scheme, hosts, f"/{database}", urlencode(options), 26379))
    shared = {name: value for name, value in found.settings.items() if name in TLS_OPTIONS}
    return replace(found, service=unquote(service), sentinel=own | shared | {"ssl": _base(scheme) == "rediss"})


def _gathered(scheme: str, nodes: list[Address]) -> Address:
    seeds = tuple((node.settings["host"], node.settings["port"]) for node in nodes)
    return replace(nodes[0], scheme=scheme, place=",".join(node.place for node in nodes), seeds=seeds)


def _split(url: str) -> tuple[str, str, str]:
    """Return the hosts of a URL, its path and its query. urlsplit may refuse several hosts with an IPv6 address."""
    scheme, _, rest = url.partition("://")
    hosts = re.split("[/?#]", rest, maxsplit=1)[0]
    without = urlsplit(f"{scheme}://{rest[len(hosts) :]}")
    return hosts, without.path, without.query


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
    """Refuse errors that redis-py would ignore, or would find only when it connects."""
    where = {"path"} if scheme == "unix" else {"host", "port"}
    known = OPTIONS | where | (TLS_OPTIONS if scheme == "rediss" else frozenset())
    if unknown := sorted(settings.keys() - known):
        raise ValueError(f"the Redis URL has an unknown option for {scheme}: {unknown[0]}")
    if scheme == "unix":
        if "path" not in settings:
            raise ValueError("the Redis URL must name a socket: unix:///path/to/redis.sock")
        return
    if "host" not in settings:
        raise ValueError(f"the Redis URL must name a host: {scheme}://host:6379/0")
    if path.strip("/") and not path.strip("/").isdigit():
        raise ValueError("the path of the Redis URL must be the number of a database, such as /0")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def connection(address: Address) -> AbstractConnection:
    """Return a new connection that is not yet connected. It does not retry commands; the lane decides about that.

    It uses RESP2, because RESP3's types are not needed and its push messages would come between replies. CLIENT
    SETINFO is not sent (`driver_info`), because it is an error before Redis 7.2, which the server counts at each
    connection. `wire` sends CLIENT SETNAME and ignores its refusal.
    """
    kind: type[AbstractConnection] = SCHEMES[address.scheme]
    return kind(**address.settings, **connection_options())


def connection_options(seconds: float = CONNECT_SECONDS) -> dict[str, Any]:
    """Return the options of every connection: no decoding and no retries; `seconds` is the limit for each step."""
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
