"""Rules for schemathesis that OpenAPI cannot express. They do not change bad requests."""

from typing import Any

import schemathesis

from tests.openapi.sequences import use_keys_once

LASTING_MS = 600_000  # longer than a run
LONGEST_WAIT = 1  # seconds
FAR = "2100-01-01T00:00:00Z"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    use_keys_once(case)
    query, meta = case.query, case.meta
    if meta is None or not meta.generation.mode.is_positive:
        return
    if query and "wait" in query:
        query["wait"] = min(int(query["wait"]), LONGEST_WAIT)
    operations = case.body.get("operations", ()) if isinstance(case.body, dict) else ()
    for each in (query or {}, *operations):
        _live(each)
    if query and "cursor" in query:  # `cursor` and `page` exclude each other
        query.pop("page", None)
    if query and "prefix" in query and "category" in (case.path_parameters or {}):  # only lists by key have `prefix`
        query["sortBy"] = "key"
    # It is for missing documents. In a sequence of requests, `{}` would look like a document that still exists.
    if query and meta.phase.name.value == "stateful":
        query.pop("allowEmpty", None)


def _live(lifetime: dict[str, Any]) -> None:
    """Let an expiry be in the future and be given only once, so that later requests find the document."""
    if "expiresAt" in lifetime:
        lifetime.pop("expiresMs", None)
        lifetime["expiresAt"] = max(lifetime["expiresAt"], FAR)
    if "expiresMs" in lifetime:
        lifetime["expiresMs"] = max(int(lifetime["expiresMs"]), LASTING_MS)
