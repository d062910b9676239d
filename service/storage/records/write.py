"""The parameters that all writes have in common, as one value: made once for a request."""

from msgspec import Struct

from service.storage.journal.retention import Retention
from service.storage.keys import Collection
from service.storage.records.conditions import UNCONDITIONAL, Condition
from service.storage.records.quota import Quota
from service.storage.records.record import etag
from service.storage.scripts.identity import Idempotency


class Write(Struct):
    """One write: its target, its author, and the conditions under which it may be committed.

    `caller` is stored as the record's creator or updater. `subject` is the caller's name in the collection's grants,
    "" if the collection has no scopes. `lifetime` has the format of lua/include/deadline.lua. An operation ignores the
    fields that do not apply to it; its docstring says which ones it uses if they are few.
    """

    collection: Collection
    id: str = ""
    caller: str = ""
    subject: str = ""
    lifetime: str = ""
    condition: Condition = UNCONDITIONAL
    quota: Quota | None = None
    journal: Retention | None = None
    idempotency: Idempotency | None = None

    def entry(self, operation: str, body: bytes) -> bytes | str:
        """Return the entry that the journal gets, for a script; "" if there is no journal. `body` is the record's;
        of a delete, the one that it removes.
        """
        if self.journal is None:
            return ""
        size = 0 if operation == "delete" else len(body)
        return self.journal.entry(operation, self.id, self.caller, size, etag(body))
