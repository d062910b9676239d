"""The types and rules that the sections of the access document share. Their errors never quote the document."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any

from msgspec import Meta

VISIBLE = r"^[!-~]+\Z"
TRIMMED = r"(?s)^\S(.*\S)?\Z"
UNTRIMMED = r"(?s)^(\S(.*\S)?)?\Z"
USERNAME = r"^[^:\s\x00-\x1f\x7f]([^:\x00-\x1f\x7f]*[^:\s\x00-\x1f\x7f])?\Z"  # RFC 7617, section 2
PRINTED = r"^[^\x00-\x1f\x7f]+\Z"
NUMERIC = r"^[0-9]{1,18}\Z"

MEANINGS = {  # of the patterns, for messages
    VISIBLE: "visible ASCII characters without a space or a line break",
    TRIMMED: "at least one character, with no white space at either end",
    UNTRIMMED: "a text with no white space at either end",
    USERNAME: "at least one character, no colon, no control character and no white space at either end",
    PRINTED: "at least one character, and no control character",
    NUMERIC: "1 to 18 digits",
}

Name = Annotated[str, Meta(pattern=TRIMMED)]
Id = Name | int
Secret = Annotated[str, Meta(pattern=VISIBLE)]


class Wrong(ValueError):
    """A value that cannot be declared. `place` leads from the part of the document that was looked at to the value."""

    def __init__(self, reason: str, place: str = "") -> None:
        self.place = place
        super().__init__(reason)


class Expires(float):
    """A Unix time, given in ISO 8601 or as a date of YAML; a date alone is midnight, and UTC is the usual zone."""


def custom(kind: type, value: Any) -> Any:
    """The value of a type that msgspec does not know, which is `Expires`. Raises Wrong."""
    try:
        given = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(given, date) and not isinstance(given, datetime):
            given = datetime(given.year, given.month, given.day)
        return kind((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp())
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise Wrong("it must be a date such as 2030-01-01, or 2030-01-01T12:00:00Z") from None


def distinct(entries: str, values: Iterable[object], member: str = "") -> None:
    """Check that no two entries of a list have one value, compared as strings; None is no value. Raises Wrong."""
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        if value is not None and (first := seen.setdefault(str(value), index)) != index:
            raise Wrong(f"{entries}[{first}] has the same", f".{entries}[{index}]{member and '.' + member}")
