"""Write docs/COMPATIBILITY.md from the tests: for each route of each dialect, the evidence that it is the vendor's.

`make compatibility` runs it; a test fails if the page differs from the output of this program.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from service.api.dialect import Dialect, NoSuchMethod, NoSuchPath
from service.dialects import discover
from service.http.routing import Router
from service.storage.errors import Invalid
from service.verification.conversations import HOLE, Exchange, load, shipped
from tests.clients.calls import PublicClient, Published

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "COMPATIBILITY.md"
BEGINNING = """# Compatibility: the evidence for each route

This page is made from the tests (`make compatibility`), and a test fails if it is out of date. For each route of each
dialect it lists the evidence that clients of the vendor can use it:

- **Vendor's page**: the number of exchanges (a request and its answer) that the vendor documents. The tests replay
  them on each server, and [`polystow verify`](verifying.md) replays them against any server. Below each table they
  are listed by their titles, which name the part of the page. Exchanges with titles in parentheses only prepare
  others, and are not counted.
- **Decided here**: the number of exchanges for decisions and additions of this service, about which the vendor's page
  says nothing.
- **Public client**: a published client of others. Tests send its requests as it sends them (`tests/clients`).
- **Fuzzer**: schemathesis sends requests that the OpenAPI document allows, and requests that it forbids, and checks
  the answers (`tests/openapi/test_schemathesis.py`).
- **Vendor itself**: the same exchanges, replayed against the vendor's own servers. This has never been done, because
  it needs an account; with one, `polystow verify` does it. If a page is ambiguous, the decisions of the dialect say
  how it was understood.
"""
Routes = dict[str, list[Exchange]]


def sorted_out(router: Router, dialect: Dialect, paths: list[Path]) -> tuple[Routes, list[Exchange]]:
    """Return the exchanges of conversations by their route, and those without a route."""
    found, refused = defaultdict[str, list[Exchange]](list), []
    for exchange in (exchange for path in paths for exchange in load(path) if not exchange.title.startswith("(")):
        method, target, *_ = HOLE.sub(placeholder, exchange.request.start).split(" ")
        try:
            owner, route, _ = router.find(method, re.sub("/{2,}", "/", target.partition("?")[0]))
        except (NoSuchPath, NoSuchMethod, Invalid):
            refused.append(exchange)
            continue
        assert owner is dialect, exchange.where
        found[f"{route.method} {route.template}"].append(exchange)
    return found, refused


def placeholder(hole: re.Match[str]) -> str:
    """Return a value for a placeholder in a request line. For a whole path, it is that of Auravant's files."""
    return "/api/mktplace/filestorage/download" if hole[1].endswith("path") else "x"


def public_clients() -> list[Published]:
    """Return the published clients whose calls the tests make."""
    for path in sorted((ROOT / "tests" / "clients").glob("test_*.py")):
        import_module(f"tests.clients.{path.stem}")
    return [client.published for client in PublicClient.__subclasses__()]


def fuzzed(dialect: Dialect) -> bool:
    """Return True if schemathesis has the configuration that it needs. Its test checks that every route was tested."""
    return (ROOT / "tests" / "dialects" / dialect.name / "schemathesis.toml").is_file()


def section(router: Router, dialect: Dialect, clients: list[Published]) -> Iterator[str]:
    """Return the lines of one dialect."""
    ours = [path for path in shipped(dialect.name) if path not in shipped(dialect.name, beyond=False)]
    vendor, vendor_refused = sorted_out(router, dialect, shipped(dialect.name, beyond=False))
    decided, decided_refused = sorted_out(router, dialect, ours)
    users: Mapping[str, list[str]] = {
        call: [client.name for client in clients if call in client.calls.values()]
        for client in clients
        for call in client.calls.values()
    }
    yield f"## {dialect.name}\n"
    yield f"The vendor's page: <{dialect.docs}>. What it leaves open: [decisions](dialects.md#{dialect.name}).\n"
    for client in clients:
        if client.dialect == dialect.name:
            assert set(client.calls.values()) <= set(names(dialect)), f"{client.name} calls an unknown route"
            yield f"Public client: {client.name} ({client.source}).\n"
    if not any(client.dialect == dialect.name for client in clients):
        yield "Public client: none is known whose source is published.\n"
    yield "| route | vendor's page | decided here | public client | fuzzer | vendor itself |"
    yield "| --- | ---: | ---: | --- | --- | --- |"
    for name in names(dialect):
        held = f"{len(vendor[name])} | {len(decided[name])} | {', '.join(users.get(name, [])) or 'none'}"
        yield f"| `{name}` | {held} | {'yes' if fuzzed(dialect) else 'no'} | never |"
    refused = f"{len(vendor_refused)} | {len(decided_refused)} | none | yes | never |"
    yield f"| unknown paths and methods | {refused}\n"
    for name in names(dialect):
        if vendor[name]:
            yield f"- `{name}`: {'; '.join(dict.fromkeys(exchange.title for exchange in vendor[name]))}"
    yield ""


def names(dialect: Dialect) -> list[str]:
    """Return the routes of a dialect as the page calls them."""
    return [f"{route.method} {route.template}" for route in dialect.routes]


def page() -> str:
    """Return the whole page."""
    dialects = discover()
    router, clients = Router(dialects), public_clients()
    lines = [line for dialect in dialects for line in section(router, dialect, clients)]
    return BEGINNING + "\n" + "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
