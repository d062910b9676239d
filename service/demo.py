"""The demo (`make run`): the service on loopback with demo access, and curl commands to try it.

Invariant: the printed commands work in their order, any number of times; a test runs them.
"""

import sys
from pathlib import Path

from service.__main__ import announce, main
from service.process.supervisor import Serving

ACCESS = Path(__file__).with_name("demo.yaml")
DOCUMENT = "/api/v1/storage/json/demo/first"
FIELDS = "/api/mktplace/storage/fields?operation="
USERS, VARIABLES = "/bots_api/v1/users", "/dashboard/bots/8017/storages.json"
BEARER, ACCESS_TOKEN = "Authorization: Bearer demo-key", "Access-Token: demo-key"

# Each step: its comment, method, path and body.
STEPS = (
    ("create", "POST", DOCUMENT, '{"title": "hello", "tags": []}'),
    ("replace", "PUT", DOCUMENT, '{"title": "hello", "tags": ["new"], "total": 1250.00}'),
    ("change a part (RFC 7386)", "PATCH", DOCUMENT, '{"title": "hello again", "tags": null}'),
    ("read", "GET", DOCUMENT, None),
    ("list", "GET", "/api/v1/storage/json/demo", None),
    ("its metadata", "GET", f"{DOCUMENT}/meta", None),
    ("delete", "DELETE", DOCUMENT, None),
    (
        "keep a value at a field",
        "POST",
        f"{FIELDS}PUT",
        '{"id": 1, "key": "soil", "data": {"ph": 6.50}, "overwrite": true}',
    ),
    ("read it at all fields", "POST", FIELDS + "GET", '{"ids": [], "keys": ["soil"]}'),
)
# Steps of the dialect whose token is in the header Access-Token.
STEPS_BY_ACCESS_TOKEN = (
    (
        "set a variable of a user",
        "POST",
        f"{USERS}/ann/set_storage.json",
        '{"key": "role", "value": "guest", "bot_id": 8017}',
    ),
    ("list variables", "GET", f"{VARIABLES}?per_page=5", None),
    ("list those with a key and a value", "GET", f"{VARIABLES}?key=role&value=guest", None),
)


def lines(url: str) -> list[str]:
    """Return one curl command per step."""
    return [
        _line(url + path, method, body, credential) + f"  # {what}"
        for credential, steps in ((BEARER, STEPS), (ACCESS_TOKEN, STEPS_BY_ACCESS_TOKEN))
        for what, method, path, body in steps
    ]


def _line(url: str, method: str, body: str | None, credential: str) -> str:
    line = f"curl -sS -w '\\n' -X {method} '{url}' -H '{credential}'"
    return line if body is None else f"{line} -H 'Content-Type: application/json' -d '{body}'"


def greet(serving: Serving) -> None:
    """Print the address of the service and the commands."""
    announce(serving)
    print("\nPaste into another terminal:\n", *lines(serving.url), "\nCtrl-C stops it.", sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(["serve", "--host", "127.0.0.1", "--access", str(ACCESS)], greet))
