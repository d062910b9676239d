"""Uses a variable as a register, for the checkers of histories. Lists show it; a global one is also read by itself."""

import json
from random import Random

from tests.dialects.avaamo.client import global_storage, set_storage, storages
from tests.faults.history import Outcome, Read, Write
from tests.faults.register import Known
from tests.raw_http import Response, request

AGENT, LAYER_ID, USER = 8017, "named", 8880461
PADS = (*[0] * 30, *[300] * 6, 8_000)
TOKEN = "Access-Token: av-edit"


def is_global(key: str) -> bool:
    return sum(key.encode()) % 2 == 0


class Variables:
    versions = False

    def write(self, random: Random, key: str, known: Known, value: str) -> tuple[Write, bytes]:
        body = json.dumps({"key": key, "value": value + " " + "x" * random.choice(PADS), "bot_id": AGENT}).encode()
        if is_global(key):
            return Write(key, value, 0.0), request("PUT", global_storage(key), body, credential=TOKEN)
        return Write(key, value, 0.0), request("POST", set_storage(LAYER_ID), body, credential=TOKEN)

    def wrote(self, write: Write, known: Known, response: Response) -> None:
        if response.status in (200, 201):
            write.outcome = Outcome.OK
            return
        assert response.status in (429, 503), response
        if b"may or may not" not in response.body:
            write.outcome = Outcome.REFUSED

    def read(self, random: Random, key: str) -> bytes:
        target = storages(AGENT, key=key) if random.random() < 0.6 else storages(AGENT, **self._narrowed(key))
        if is_global(key) and random.random() < 0.5:
            target = global_storage(key, bot_id=AGENT)
        return request("GET", target, credential=TOKEN)

    def _narrowed(self, key: str) -> dict[str, object]:
        return {"key": key, "per_page": 1} | ({} if is_global(key) else {"user_id": USER})

    def saw(self, read: Read, known: Known, response: Response) -> bool:
        if response.status == 503:
            return False
        if response.status == 404:
            read.version = 0
            return True
        assert response.status == 200, response
        told = json.loads(response.body)
        rows = told.get("storage", [told])
        assert len(rows) == told.get("total_entries", 1) <= 1, response.body[:200]
        if rows:
            read.value = rows[0]["value"].split(" ")[0]
        else:
            read.version = 0
        return True


REGISTER = Variables()
