"""Where Redis is: a URL, read once, from which fresh connections are made.

Invariant: nothing that is printed of an Address (`str`, `repr`, an error) holds its password.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
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
    """A parsed URL. `place` is `host:port` or a socket's path; `settings` are for redis-py's connection."""

    scheme: str
    place: str
    db: int
    username: str
    settings: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        """The URL, fit for logs."""
        secret = ":***" if "password" in self.settings else ""
        login = f"{quote(self.username)}{secret}@" if self.username or secret else ""
        database = f"?db={self.db}" if self.scheme == "unix" else f"/{self.db}"
        return f"{self.scheme}://{login}{quote(self.place, safe='/:[]')}{database}"


def parse(url: str) -> Address:
    """Read `redis://`, `rediss://` or `unix://`, as redis-py defines them. Raises ValueError, in words."""
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        # Text without "://" may be a password that was pasted into the wrong setting: not repeated.
        what = f"the scheme of the Redis URL, {scheme}," if "://" in url else "the scheme of the Redis URL"
        raise ValueError(f"{what} is not one of {', '.join(SCHEMES)}")
    try:
        settings: dict[str, Any] = dict(parse_url(url))
        path = urlsplit(url).path
    except ValueError:
        # Its text may quote a piece of the password.
        raise ValueError(
            "the Redis URL is malformed; special characters of a password must be percent-encoded"
        ) from None
    settings.pop("connection_class", None)
    if scheme != "unix":
        settings.setdefault("port", 6379)
    _check(scheme, path, settings)
    place = settings["path"] if scheme == "unix" else f"{_bracketed(settings['host'])}:{settings['port']}"
    return Address(scheme, place, settings.setdefault("db", 0), settings.get("username", ""), settings)


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
    return kind(
        **address.settings,
        protocol=2,
        decode_responses=False,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=CONNECT_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        health_check_interval=0,
        driver_info=None,
        maint_notifications_config=None,
    )
