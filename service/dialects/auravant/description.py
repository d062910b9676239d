"""Requests and answers of the routes, for the OpenAPI document."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.api.description import Api, Content, Description
from service.dialects.auravant import shapes
from service.dialects.auravant.refusals import BadKey, BadVersion, Missing, NotClaimed, Unreadable
from service.storage import errors

USER = "UID-dbaefe8503fe6cdb7909611e8953e74f"
SHARED = {"key_storage_1": "value_1", "key_storage_2": "value_2", "key_storage_3": "value_3"}


class Path(Struct):
    """Path parameters: there are none."""


class Operating(Struct):
    operation: Annotated[Literal["PUT", "PATCH", "GET", "DELETE"], Meta(description="What is to be done.")]


class Sharing(Struct):
    key: Annotated[
        shapes.Key, Meta(description="The key as it is stored, or without `public_`, `public_ext_` or `public_priv_`.")
    ]
    client_id: Annotated[shapes.ClientId, Meta(description="The extension; left out: the caller's.")] | UnsetType = (
        UNSET
    )
    dev: Annotated[bool, Meta(description="Read the dev environment.")] = False


class SharingUsers(Sharing):
    users: Annotated[str, Meta(description="Users, comma-separated; left out: all.")] | UnsetType = UNSET


class SharingFields(Sharing, kw_only=True):
    fields: Annotated[str, Meta(min_length=1, description="Fields, comma-separated.", examples=["12345"])]


class SharingFarms(Sharing, kw_only=True):
    farms: Annotated[str, Meta(min_length=1, description="Farms, comma-separated.", examples=["777"])]


BODIES: dict[str, Any] = {
    "PUT": {"id": USER, "key": "test_key", "value": {"name": "juan", "lastname": "perez"}, "overwrite": True},
    "PATCH": {"id": USER, "key": "test_key", "value": {"name": "jane", "lastname": "doe"}, "create": True},
    "GET": {"ids": [USER], "keys": ["test_key", "no_key"]},
    "DELETE": {"id": USER, "keys": ["test_key"]},
}
OK: dict[str, Any] = {"code": 0, "res": "ok"}
ANSWERS: dict[str, Any] = {
    "done": {**OK, "info": OK},
    "read": {**OK, "info": {**OK, "objects": {USER: {"test_key": {"name": "jane", "lastname": "doe"}}}}},
}
CODED = (Missing, BadKey, BadVersion, NotClaimed)

GIVEN = Content(
    "What the operation is given. It is understood as a form too (`application/x-www-form-urlencoded`), in which "
    "`value`, `data`, `ids` and `keys` are JSON; a `value` that is none is a string.",
    shapes.Operated,
    examples=BODIES,
)


def _storage(sharing: str, **names: str) -> Description:
    """Describe the operations of a scope. `sharing` is the handler of the route that shares its values."""
    done = Content(
        "It was done; of a GET, the values.",
        shapes.Done,
        examples=ANSWERS,
        leads_to={sharing: {"key": "$request.body#/key", **names}},
    )
    return Description(
        {200: done},
        query=Operating,
        body=GIVEN,
        refuses=(
            *CODED,
            errors.Denied,
            errors.NotFound,
            errors.AlreadyExists,
            errors.Changed,
            errors.Mismatched,
            errors.TooLarge,
            errors.QuotaExceeded,
        ),
    )


users = _storage("public_of_users", users="$request.body#/id")
fields = _storage("public_of_fields", fields="$request.body#/id")
farms = _storage("public_of_farms", farms="$request.body#/id")


def _shared(level: str, shape: type, query: type[Struct], *refuses: type[errors.Refusal]) -> Description:
    example = [{level: USER if level == "user" else 12345, "value": SHARED}]
    values = Content(
        "The values, one for each that has any.",
        list[shape],  # type: ignore[valid-type]
        examples={"shared": example},
    )
    return Description({200: values}, query=query, refuses=(*CODED, errors.TooLarge, *refuses))


public_of_users = _shared("user", shapes.OfUser, SharingUsers)
public_of_fields = _shared("field", shapes.OfField, SharingFields, Unreadable)
public_of_farms = _shared("farm", shapes.OfFarm, SharingFarms, Unreadable)

API = Api(
    title="Auravant storage",
    version="1",
    about=(
        "Values and files of extensions, each kept at a user, a field or a farm, which also says who may read it.\n\n"
        "A refusal has a code: `1` something is missing, `2` a bad key, `3` no permission, `4` no such version of the "
        "extension, `5` no such id, or a key that is there or is not, `6` another error, `7` a file that is too large; "
        "`-1` to `-4` concern the token and the request as such. Codes 1 to 7 come with HTTP 200, but where files are "
        "uploaded and downloaded. A request may name itself with `X-Request-Id`."
    ),
    path=Path,
    security={"token": {"type": "http", "scheme": "bearer", "description": "A token of a user and an extension."}},
    error=shapes.Failed,
)
