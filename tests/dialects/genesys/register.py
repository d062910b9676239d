"""Uses a storage area as a register, for the checkers of histories.

The area has a text and a file with the same value. Creating the area replaces it, and writes a third key that an update
does not change. A file whose lines have two different values counts as a value that was never written.
"""

import json
from random import Random

from tests.dialects.genesys.client import MULTIPART, at, multipart
from tests.faults.history import Outcome, Read, Write
from tests.faults.register import Known
from tests.raw_http import Response, request

# Numbers of lines of the text, and of the file. Short ones are in the record, longer ones in one or several chunks.
LINES = (*[1] * 30, *[600] * 6, *[2_500] * 2, 40_000)
USER = "gms_user: faults"
LIFETIME = "3600"


def ask(method: str, target: str, body: bytes | None = None, *headers: str) -> bytes:
    return request(method, target, body, *headers, credential=USER)


class Areas:
    versions = False

    def write(self, random: Random, key: str, known: Known, value: str) -> tuple[Write, bytes]:
        text, content = (f"{value}\n" * random.choice(LINES) for _ in range(2))
        replaces = random.random() < 0.6
        body = multipart(
            ("text", text), ("file", ("f.txt", "text/plain", content.encode())), *[("replaced", value)] * replaces
        )
        target = at("custom", key, LIFETIME) if replaces else at(key, LIFETIME)
        return Write(key, value, 0.0, replaces=replaces), ask("POST", target, body, f"Content-Type: {MULTIPART}")

    def wrote(self, write: Write, known: Known, response: Response) -> None:
        if response.status == 200:
            write.outcome = Outcome.OK
            return
        assert response.status in (404, 429, 503), response
        if b"may or may not" not in response.body:
            write.outcome = Outcome.REFUSED

    def read(self, random: Random, key: str) -> bytes:
        return ask("GET", random.choice([at(key), at(key, "text"), at("binary", key, "file")]))

    def saw(self, read: Read, known: Known, response: Response) -> bool:
        if response.status == 503:
            return False
        if response.status == 404:
            read.version = 0
            return True
        assert response.status == 200, response
        text = response.body.decode()
        if response.headers["Content-Type"] == "application/json":
            told = json.loads(text)
            text, read.replaced_by = told["text"], told["replaced"]
        read.value = " and ".join(sorted(set(text.split("\n")) - {""}))
        return True


REGISTER = Areas()
