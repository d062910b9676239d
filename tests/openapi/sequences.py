"""A rule of sequences for schemathesis that OpenAPI cannot express."""

from typing import Any


def use_keys_once(case: Any) -> None:
    """Take the idempotency key from a request of a sequence. With a key that was used before, a deletion is a
    repetition: it correctly gets the answer of the first one and deletes nothing.
    """
    if case.headers and case.meta is not None and case.meta.phase.name.value == "stateful":
        case.headers.pop("Idempotency-Key", None)
