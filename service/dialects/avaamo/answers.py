"""Answers and refusals in the vendor's format."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from service.api.dialect import Answer
from service.dialects.avaamo.parameters import Paging
from service.dialects.avaamo.shapes import Error, Listed, Row, Set, User, encode
from service.storage import errors
from service.storage.errors import Refusal
from service.storage.variables.variables import Variable

SET = encode(Set())


def answer(status: int, value: Any) -> Answer:
    return Answer(status, encode(value))


def page_answer(total: int, paging: Paging, found: Sequence[Variable], displays: Mapping[int, str]) -> Answer:
    rows = [row(variable, displays) for variable in found]
    return answer(200, Listed(paging.page, paging.per_page, total, -(-total // paging.per_page), rows))


def row(variable: Variable, displays: Mapping[int, str]) -> Row:
    """Return a variable as an item of a list. A global variable has no user."""
    user = variable.user
    return Row(
        variable.key,
        variable.value,
        variable.id,
        variable.created / 1_000_000,
        variable.updated / 1_000_000,
        User(displays[user] or f"User {user}", user) if user else UNSET,
    )


STATUSES: dict[type[Refusal], int] = {  # where the vendor's status differs from the refusal's own
    errors.Undeclared: 404,
    errors.Changed: 409,
    errors.Invalid: 422,
    errors.Mismatched: 422,
}


def refuse(refusal: Refusal, params: tuple[str, ...]) -> Answer:
    message = str(refusal)
    if isinstance(refusal, errors.NotFound) and params:  # a global variable, whose path parameter ends with .json
        message = f"no such key {params[0].removesuffix('.json')}"
    return answer(STATUSES.get(type(refusal), refusal.status), Error(message))
