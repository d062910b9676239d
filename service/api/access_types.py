"""Types and rules that the dialects' sections of the access document share. Their errors never quote the document."""

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

MEANINGS = {  # descriptions of the patterns, for error messages
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


class InvalidValue(ValueError):
    """A value that cannot be declared. `path` leads from the checked part of the document to the value."""

    def __init__(self, reason: str, path: str = "") -> None:
        self.path = path
        super().__init__(reason)


class Expires(float):
    """A Unix time, written in ISO 8601 or as a YAML date. A date alone means midnight; the default time zone is UTC."""


def custom(kind: type, value: Any) -> Any:
    """Convert a value into `Expires`, the only type here that msgspec cannot decode by itself. Raises InvalidValue."""
    try:
        given = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(given, date) and not isinstance(given, datetime):
            given = datetime(given.year, given.month, given.day)
        return kind((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp())
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise InvalidValue("it must be a date such as 2030-01-01, or 2030-01-01T12:00:00Z") from None


def distinct(entries: str, values: Iterable[object], member: str = "") -> None:
    """Check that the values of a list's entries are unique. Values are compared as strings; None is ignored.

    `entries` is the list's name in the document, `member` the member of an entry that holds the value.
    Raises InvalidValue.
    """
    seen: dict[str, int] = {}
    for index, value in enumerate(values):
        if value is not None and (first := seen.setdefault(str(value), index)) != index:
            raise InvalidValue(
                f"{entries}[{first}] has the same value", f".{entries}[{index}]{member and '.' + member}"
            )
