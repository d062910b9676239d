"""Types of the vendor's JSON, for the OpenAPI document: bodies, the envelope, shared values."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.dialects.auravant.parameters import READ_KEYS

Id = Annotated[str, Meta(min_length=1, max_length=200, examples=["UID-dbaefe8503fe6cdb7909611e8953e74f"])] | int
Key = Annotated[str, Meta(pattern="^[A-Za-z0-9_]{1,200}$", examples=["test_key"])]
ClientId = Annotated[str, Meta(min_length=1, max_length=100)]
Flag = bool | Literal["true", "false", "1", "0", 1, 0] | None
Value = Annotated[Any, Meta(description="Any JSON but null. Its bytes are kept, and come back, as they are.")]
Resources = Annotated[list[Id], Meta(description="GET: of which resources; empty: of all that the caller may read.")]
Keys = Annotated[list[Key], Meta(min_length=1, max_length=READ_KEYS, description="GET and DELETE: which keys.")]


class Operated(Struct):
    """The body of an operation. PUT and PATCH need `id`, `key` and a value, GET `keys`, DELETE `id` and `keys`."""

    id: Annotated[Id, Meta(description="The user, field or farm.")] | UnsetType = UNSET
    key: Annotated[Key, Meta(description="The key of the value.")] | UnsetType = UNSET
    value: Value | UnsetType = UNSET
    data: Annotated[Any, Meta(description="The same as `value`, which wins.")] | UnsetType = UNSET
    overwrite: Annotated[Flag, Meta(description="PUT: replace a value that is there.")] = False
    append: Annotated[Flag, Meta(description="PATCH: add to the value that is there.")] = False
    create: Annotated[Flag, Meta(description="PATCH: create a value that is not there.")] = False
    ids: Resources | UnsetType = UNSET
    keys: Keys | UnsetType = UNSET


class Refused(Struct):
    """Why a request was not carried out."""

    code: Annotated[int, Meta(ge=-4, le=7)]
    res: Literal["err"]
    msg: Annotated[str, Meta(min_length=1)]


class Failed(Refused):
    """The envelope of a refusal: the same at the top and below `info`."""

    info: Refused


class Fine(Struct):
    """The answer to an operation that was carried out."""

    code: Literal[0]
    res: Literal["ok"]


class Info(Fine):
    """The result of an operation. GET: the values by resource and key; by key alone if `ids` was left out."""

    objects: dict[str, Any] | UnsetType = UNSET


class Done(Fine):
    """The envelope of an answer."""

    info: Info


class OfUser(Struct):
    """A value that a user shares."""

    user: str | int
    value: Any


class OfField(Struct):
    """A value that is shared of a field."""

    field: str | int
    value: Any


class OfFarm(Struct):
    """A value that is shared of a farm."""

    farm: str | int
    value: Any
