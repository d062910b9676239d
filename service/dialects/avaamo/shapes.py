"""Types of the vendor's JSON. Answers are encoded from them, and their schemas are in the OpenAPI document.

The order of the fields is the order on the wire.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, json

from service.dialects.avaamo.parameters import NAME_CHARACTERS

Key = Annotated[
    str, Meta(min_length=1, max_length=NAME_CHARACTERS, description="The variable's key.", examples=["role"])
]
Value = Annotated[str, Meta(description="The variable's value, as text.", examples=["guest"])]
Id = Annotated[int, Meta(ge=1, description="Unique over all agents.")]
Seconds = Annotated[float, Meta(ge=0, description="Seconds since 1970.")]
Count = Annotated[int, Meta(ge=0)]
Page = Annotated[int, Meta(ge=1)]

encode = json.Encoder().encode


class Error(Struct):
    """Why a request was not carried out."""

    error: Annotated[str, Meta(min_length=1)]


class Set(Struct):
    """A variable was set."""

    status: Literal[201] = 201


class Deleted(Struct):
    """A variable was deleted."""

    status: Literal[200] = 200


class Cleared(Struct):
    """Everything was cleared."""

    success: Literal[True] = True


class Global(Struct):
    """A global variable."""

    key: Key
    value: Value


class User(Struct):
    """The user that a variable belongs to."""

    display_name: str
    id: Annotated[int, Meta(ge=1)]


class Row(Struct):
    """A variable in a list. A global one has no user."""

    key: Key
    value: Value
    id: Id
    created_at: Seconds
    updated_at: Seconds
    user: User | UnsetType = UNSET


class Listed(Struct):
    """One page of a list, with the totals of the whole list."""

    current_page: Page
    per_page: Annotated[int, Meta(ge=1, le=100)]
    total_entries: Count
    total_pages: Count
    storage: list[Row]
