"""What the vendor answers: the shapes of its JSON, and its way to say no."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.dialect import Answer, Failure, NoSuchMethod, NoSuchPath
from service.dialects.avaamo.parameters import Paging
from service.storage import errors
from service.storage.errors import Refusal
from service.storage.variables import Variable

SET = b'{"status":201}'


def answer(status: int, value: Any) -> Answer:
    return Answer(status, orjson.dumps(value))


def listed(total: int, paging: Paging, found: Sequence[Variable], displays: Mapping[int, str]) -> Answer:
    return answer(200, {
        "current_page": paging.page,
        "per_page": paging.per_page,
        "total_entries": total,
        "total_pages": -(-total // paging.per_page),
        "storage": [row(variable, displays) for variable in found],
    })  # fmt: skip


def row(variable: Variable, displays: Mapping[int, str]) -> dict[str, Any]:
    """A variable as a list shows it; a global one has no user."""
    shown: dict[str, Any] = {
        "key": variable.key,
        "value": variable.value,
        "id": variable.id,
        "created_at": variable.created / 1_000_000,
        "updated_at": variable.updated / 1_000_000,
    }
    if variable.user:
        shown["user"] = {
            "display_name": displays[variable.user] or f"User {variable.user}",
            "id": variable.user,
        }
    return shown


STATUSES: dict[type[Refusal], int] = {
    errors.Unauthenticated: 401,
    errors.Denied: 403,
    errors.Undeclared: 404,
    errors.NotFound: 404,
    NoSuchPath: 404,
    NoSuchMethod: 405,
    errors.AlreadyExists: 409,
    errors.Changed: 409,
    errors.TooLarge: 413,
    errors.Invalid: 422,
    errors.Throttled: 429,
    errors.QuotaExceeded: 429,
    errors.Unavailable: 503,
    errors.OutcomeUnknown: 503,
    Failure: 500,
}


def refuse(refusal: Refusal, params: tuple[str, ...]) -> Answer:
    return answer(STATUSES.get(type(refusal), 500), {"error": str(refusal)})
