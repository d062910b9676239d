"""Groups of documents that only batches write, and these batches: lawful ones, and ones with an operation that must be
refused.

Batch 1 creates the documents of a group, and each one after it changes all of them. From three operations on, a batch
creates one document and deletes another; from four on it creates one that is due a millisecond later, before the next
batch creates it again.
"""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

DUE = "due"  # the document that expires between two batches
AFTER_DUE = 0.002  # seconds from an answer on, after which that document is due
LONG = 86_400_000  # ms: the expiry of the documents that last
REFUSED = -1  # the number in the documents of refused batches, which nobody may read

Entry = tuple[str, str, int | None, int | None]  # operation, key, version if it is known, number


class Known(NamedTuple):
    """The state of a document in its last receipt."""

    etag: str
    expires: str | None


@dataclass(slots=True)
class Group:
    """A category with its documents.

    `sent` and `acknowledged` are the numbers of the last batch that was sent, and of the last one that succeeded.
    `known` has the state of each document as that answer told it.
    """

    name: str
    size: int
    sent: int = 0
    acknowledged: int = 0
    known: dict[str, Known] = field(default_factory=dict)

    def entries(self, number: int) -> list[Entry]:
        """Return the operations of a batch."""
        lasting = self._lasting()
        found: list[Entry] = [("put", f"k{n}", number, number) for n in range(lasting)]
        if number > 1:
            found[0] = ("patch", "k0", number, number)
        if self.size >= 3:
            found.append(("create", f"made{number % 2}", 1, number))
            found += [("delete", f"made{(number + 1) % 2}", None, None)] if number > 1 else []
        return [*found, ("create", DUE, 1, number)] if self.size >= 4 else found

    def _lasting(self) -> int:
        """Return the number of documents that only the first batch creates."""
        return self.size - (self.size >= 3) * 2 - (self.size >= 4)

    def changes(self, number: int) -> list[Entry]:
        """Return a batch's changes in the journal, after the expiry of the document of the batch before."""
        ended: list[Entry] = [("expire", DUE, 1, None)] if number > 1 and self.size >= 4 else []
        return ended + self.entries(number)

    def state(self, number: int) -> dict[str, int]:
        """Return the number in each document after a batch, except in the one that expires."""
        left = {key: number for op, key, _, _ in self.entries(number) if op != "delete"} if number else {}
        left.pop(DUE, None)
        return left

    def is_after(self, number: int, found: dict[str, int]) -> bool:
        """Return True if these are the documents after a batch; the one that expires may be gone."""
        return {DUE: number} | found == {DUE: number} | self.state(number)

    def operations(self, number: int, value: int) -> list[dict[str, Any]]:
        """Return the operations of a batch as its request has them, with `value` as the number in each document."""
        guarded = f"k{self._lasting() - 1}"
        made = []
        for op, key, _, _ in self.entries(number):
            each: dict[str, Any] = {"op": op, "key": key}
            if op != "delete":
                each["value"] = {"n": value}
            if op == "put" or key == DUE:
                each["expiresMs"] = 1 if key == DUE else LONG
            if op == "delete":
                each["ifMatch"] = "*"
            elif key == guarded and number > 1:
                each["ifMatch"] = self.known[key].etag
            made.append(each)
        return made

    def batch(self, number: int) -> bytes:
        return json.dumps({"operations": self.operations(number, number)}).encode()

    def refused(self, random: Random) -> tuple[bytes, int, int]:
        """Make a batch with one operation that must be refused, behind the last acknowledged batch.

        Returns the body, the index of that operation, and the status that it must get.
        """
        operations = self.operations(self.acknowledged + 1, REFUSED)
        place = random.randint(0, len(operations))
        operation, status = random.choice(UNLAWFUL)
        operations.insert(place, operation)
        return json.dumps({"operations": operations}).encode(), place, status

    def learn(self, number: int, results: list[dict[str, Any]]) -> str | None:
        """Remember the receipts of a batch; return the error in them, or None."""
        entries = self.entries(number)
        receipts = [(each["op"], each["key"], each.get("version")) for each in results]
        if receipts != [entry[:3] for entry in entries]:
            return f"batch {number} was answered {receipts}"
        for (op, key, _), each in zip(receipts, results, strict=True):
            expires = each.get("expiresAt")
            if (expires is not None) != (op in ("put", "patch") or key == DUE):
                return f"batch {number} was answered the expiry {expires} for {op} {key}"
            if op == "patch" and expires != self.known[key].expires:
                return f"batch {number} moved the expiry of {key} from {self.known[key].expires} to {expires}"
            if op != "delete":
                self.known[key] = Known(each["etag"], expires)
        return None


VALUE = {"n": REFUSED}
OTHER = "0" * 32  # an etag that no document has
UNLAWFUL: tuple[tuple[dict[str, Any], int], ...] = (
    ({"op": "create", "key": "k0", "value": VALUE}, 409),
    ({"op": "create", "key": "k0", "value": VALUE, "expiresMs": 1}, 409),
    ({"op": "put", "key": "k0", "value": VALUE, "ifMatch": OTHER}, 412),
    ({"op": "put", "key": "k0", "value": VALUE, "ifNoneMatch": "*"}, 412),
    ({"op": "put", "key": "absent", "value": VALUE, "ifMatch": "*"}, 412),
    ({"op": "put", "key": "absent", "value": VALUE, "expiresMs": 0}, 400),
    ({"op": "patch", "key": "absent", "value": VALUE}, 404),
    ({"op": "patch", "key": "k0", "value": VALUE, "ifMatch": OTHER}, 412),
    ({"op": "delete", "key": "absent"}, 404),
    ({"op": "delete", "key": "k0", "ifMatch": OTHER}, 412),
)
