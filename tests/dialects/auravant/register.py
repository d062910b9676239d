"""Uses a public value as a register, for the checkers of histories.

PUT and PATCH replace it, an append changes one member. Its owner reads it, and it is read as a public value.
"""

import json
import re
from random import Random

from tests.dialects.auravant.client import STORAGE
from tests.faults.history import Outcome, Read, Write
from tests.faults.register import Known
from tests.raw_http import Response, request

# Small values take the fast path. Large ones are staged, answered in portions, and appended to in the worker.
PADS = (*[0] * 30, *[2_000] * 6, *[40_000] * 2, 150_000)
# The resources whose keys are used in turn: scope, id, and the name of the scope in /publicvalues.
PLACES = (("users", "UID-owner", "user"), ("fields", "12345", "field"), ("farms", "777", "farm"))
TOKEN = "Authorization: Bearer at-owner"
VALUE = re.compile(rb'(?:"replaced": ?"([^"]+)", ?)?"value": ?"([^"]+)"')
NOTHING: tuple[object, ...] = ([], {"code": 0, "res": "ok", "info": {"code": 0, "res": "ok", "objects": {}}})
WRONG_STATE = 5


def place(key: str) -> tuple[str, str, str]:
    return PLACES[sum(key.encode()) % len(PLACES)]


def stored(key: str) -> str:
    return f"public_ext_{key}"


def storage(scope: str, operation: str, body: dict[str, object]) -> bytes:
    target = f"{STORAGE}/{scope}?operation={operation}"
    return request("POST", target, json.dumps(body).encode(), "Content-Type: application/json", credential=TOKEN)


class Values:
    versions = False

    def write(self, random: Random, key: str, known: Known, value: str) -> tuple[Write, bytes]:
        scope, id, _ = place(key)
        kind = random.random()
        if kind < 0.3:
            body = {"id": id, "key": stored(key), "value": {"value": value}, "append": True, "create": kind < 0.1}
            return Write(key, value, 0.0, replaces=False), storage(scope, "PATCH", body)
        pad = "x" * random.choice(PADS)
        whole = {"id": id, "key": stored(key), "value": {"replaced": value, "value": value, "pad": pad}}
        if kind < 0.45:
            return Write(key, value, 0.0), storage(scope, "PATCH", whole | {"create": kind < 0.4})
        return Write(key, value, 0.0), storage(scope, "PUT", whole | {"overwrite": kind > 0.5})

    def wrote(self, write: Write, known: Known, response: Response) -> None:
        code = json.loads(response.body)["code"]
        if (response.status, code) == (200, 0):
            write.outcome = Outcome.OK
            return
        assert (response.status, code) == (200, WRONG_STATE) or response.status in (429, 503), response
        if b"may or may not" not in response.body:
            write.outcome = Outcome.REFUSED

    def read(self, random: Random, key: str) -> bytes:
        scope, id, name = place(key)
        kind = random.random()
        if kind < 0.6:
            return storage(scope, "GET", {"ids": [id], "keys": [stored(key)]})
        # A request that names no users returns all users that have, or had, such a key.
        ids = "" if scope == "users" and kind < 0.8 else f"&{scope}={id}"
        return request("GET", f"/publicvalues/{name}?key={key}{ids}", credential=TOKEN)

    def saw(self, read: Read, known: Known, response: Response) -> bool:
        if response.status == 503:
            return False
        assert response.status == 200, response
        found: list[tuple[bytes, bytes]] = VALUE.findall(response.body)
        assert len(found) <= 1, response.body[:200]
        if found:
            read.replaced_by, read.value = (part.decode() or None for part in found[0])
        else:
            assert json.loads(response.body) in NOTHING, response.body[:200]
            read.version = 0
        return True


REGISTER = Values()
