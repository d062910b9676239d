"""Uses a document as a register, for the checkers of histories. PUT and POST replace it, PATCH changes one member."""

import json
import re
from random import Random

from tests.faults.history import Outcome, Read, Write
from tests.faults.register import Known
from tests.raw_http import DOCUMENTS, Response, request

# Small documents take the fast path. Large ones are staged and published, and their patches are merged in the worker.
PADS = (*[0] * 30, *[2_000] * 6, *[40_000] * 2, 150_000)
VALUE = re.compile(rb'\{"replaced":"([^"]+)","value":"([^"]+)"')


class Documents:
    versions = True
    pads: tuple[int, ...] = PADS

    def write(self, random: Random, key: str, known: Known, value: str) -> tuple[Write, bytes]:
        target = f"{DOCUMENTS}/faults/{key}"
        kind = random.random()
        if kind < 0.3:
            return Write(key, value, 0.0, replaces=False), request("PATCH", target, b'{"value":"%b"}' % value.encode())
        body = b'{"replaced":"%b","value":"%b","pad":"%b"}' % (
            value.encode(),
            value.encode(),
            b"x" * random.choice(self.pads),
        )
        if kind < 0.35:
            return Write(key, value, 0.0), request("POST", target, body)
        if kind < 0.5 and known.etag:
            write = Write(key, value, 0.0, expected=known.etag)
            return write, request("PUT", target, body, f'If-Match: "{known.etag}"')
        return Write(key, value, 0.0), request("PUT", target, body)

    def wrote(self, write: Write, known: Known, response: Response) -> None:
        if response.status in (200, 201):
            receipt = json.loads(response.body)
            write.outcome, write.version, write.etag = Outcome.OK, receipt["version"], receipt["etag"]
            known.etag = write.etag
            return
        assert response.status in (404, 409, 412, 429, 503), (response.status, response.body)
        if b"may or may not" not in response.body:
            write.outcome = Outcome.REFUSED
        if response.status == 412:
            known.etag = None

    def read(self, random: Random, key: str) -> bytes:
        return request("GET", f"{DOCUMENTS}/faults/{key}" + ("/meta" if random.random() < 0.3 else ""))

    def saw(self, read: Read, known: Known, response: Response) -> bool:
        if response.status == 404:
            read.version = 0
        elif response.status == 200 and "ETag" in response.headers:
            found = VALUE.match(response.body)
            assert found, response.body[:200]
            read.replaced_by, read.value = (part.decode() for part in found.groups())
            read.etag = known.etag = response.headers["ETag"].strip('"')
        elif response.status == 200:
            meta = json.loads(response.body)
            read.version, read.etag = meta["version"], meta["etag"]
        else:
            assert response.status == 503, (response.status, response.body)
            return False
        return True


REGISTER = Documents()
