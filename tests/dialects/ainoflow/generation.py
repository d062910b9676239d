"""Rules for schemathesis that OpenAPI cannot express. Bad requests stay as they are."""

from typing import Any

import schemathesis

LASTING_MS = 600_000  # longer than a run
FAR = "2100-01-01T00:00:00Z"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    query, meta = case.query, case.meta
    if not query or meta is None or not meta.generation.mode.is_positive:
        return
    # Each excludes the other; an expiry is in the future, and what is stored is to be there for the requests after it.
    if "expiresAt" in query:
        query.pop("expiresMs", None)
        query["expiresAt"] = max(query["expiresAt"], FAR)
    if "expiresMs" in query:
        query["expiresMs"] = max(int(query["expiresMs"]), LASTING_MS)
    # It is for what was deleted, say; in a sequence of requests `{}` would pass for a document that is still there.
    if meta.phase.name.value == "stateful":
        query.pop("allowEmpty", None)
