"""Small documents as registers that batches write and lists read, for the history checker."""

import json
from random import Random
from typing import Any

from tests.dialects.ainoflow.register import Documents
from tests.faults.history import Outcome, Read, Write
from tests.faults.register import Keys
from tests.raw_http import DOCUMENTS, Response, request

LONG = 86_400_000  # ms


class Batches(Documents):
    """Documents so small that a list of them all is read in one step."""

    pads = (0,)

    def batch(self, random: Random, keys: Keys, name: str) -> tuple[list[Write], bytes]:
        """Return two to six operations, mostly of different keys. Some must be refused, and then the whole batch."""
        writes: list[Write] = []
        operations: list[dict[str, Any]] = []
        for number in range(random.randint(2, 6)):
            key = random.choice(keys.names)
            write = Write(key, f"{name}.{number}", 0.0, batch=name)
            operation: dict[str, Any] = {"op": "put", "key": key}
            operation["value"] = {"replaced": write.value, "value": write.value, "pad": ""}
            kind = random.random()
            if kind < 0.3:
                write.replaces, operation["op"], operation["value"] = False, "patch", {"value": write.value}
            elif kind < 0.31:
                operation["op"] = "create"
            elif kind < 0.4:
                operation["expiresMs"] = LONG
            etag = keys.of(key).etag
            first = all(each.key != key for each in writes)
            if operation["op"] != "create" and etag and first and random.random() < 0.08:
                write.expected = operation["ifMatch"] = etag
            writes.append(write)
            operations.append(operation)
        if random.random() < 0.05:
            operations.append({"op": "delete", "key": "absent"})
        body = json.dumps({"operations": operations}, separators=(",", ":")).encode()
        return writes, request("POST", "/api/v1/storage/batch/faults", body)

    def batched(self, writes: list[Write], keys: Keys, response: Response) -> None:
        if response.status == 200:
            for write, result in zip(writes, json.loads(response.body)["results"], strict=True):
                assert result["key"] == write.key
                write.outcome, write.version, write.etag = Outcome.OK, result["version"], result["etag"]
                keys.of(write.key).etag = write.etag
            return
        assert response.status in (404, 409, 412, 429, 503), (response.status, response.body)
        if b"may or may not" in response.body:
            return
        for write in writes:
            write.outcome = Outcome.REFUSED
            if response.status == 412:
                keys.of(write.key).etag = None

    def read_all(self) -> bytes:
        return request("GET", f"{DOCUMENTS}/faults?sortBy=key&limit=100")

    def saw_all(self, response: Response) -> list[Read]:
        """Return the reads of a list. A missing document is not a read: it may be newer than the list of keys."""
        if response.status != 200:
            assert response.status in (404, 503), (response.status, response.body)
            return []
        reads = []
        for item in json.loads(response.body):
            value = item["value"]
            reads.append(Read(item["key"], 0.0, 0.0, value["value"], value["replaced"]))
        return reads


REGISTER = Batches()
