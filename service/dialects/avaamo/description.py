"""Descriptions of the routes for the OpenAPI document, each under the name of its handler."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.api.description import JSON, Api, Content, Description
from service.api.parsing import FORM
from service.dialects.avaamo import shapes
from service.dialects.avaamo.parameters import NAME_CHARACTERS
from service.storage import errors
from service.storage.variables.variables import VALUE_BYTES

AGENT_ID = 8017
LONGEST = 10**18 - 1  # the largest integer: it has at most eighteen digits

Whole = Annotated[int, Meta(ge=0, le=LONGEST)]
Bot = Annotated[Whole, Meta(description="The agent.", examples=[AGENT_ID])]
BotId = Bot | Annotated[str, Meta(pattern="^[0-9]{1,18}$", description="The same in a string.")]
Given = Annotated[str, Meta(description=f"At most {VALUE_BYTES} bytes in UTF-8.")] | float | bool
Date = Annotated[
    str,
    Meta(
        pattern=r"^((0?[1-9]|1[0-9]|2[0-8])/(0?[1-9]|1[0-2])/(19|20)[0-9]{2})?$",
        examples=["12/04/2020"],
        description="A whole day in UTC, dd/mm/yyyy, of the last update. Days above 28 are lawful in months with them.",
    ),
]


class Path(Struct):
    user_layer_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=NAME_CHARACTERS,
            description="The user.",
            examples=["dashboard_admin_test_user_368"],
        ),
    ]
    agent_id: Bot
    key: Annotated[
        str,
        Meta(
            min_length=6,
            max_length=NAME_CHARACTERS + 5,
            pattern=r"^.+\.json$",
            description="The variable's key, and `.json`.",
            examples=["greeting.json"],
        ),
    ]


class Setting(Struct):
    """A variable. A number or a boolean is kept as the text that was sent."""

    key: shapes.Key
    value: Given
    bot_id: BotId


class GlobalSetting(Struct):
    """A global variable's value."""

    value: Given


class Clearing(Struct):
    """The types of data to clear."""

    data_types: Annotated[list[Literal["storage_data"]], Meta(min_length=1)]


class OfBot(Struct):
    bot_id: Bot


class Listing(Struct):
    key: Annotated[str, Meta(description="Only variables with this key.")] | UnsetType = UNSET
    value: Annotated[str, Meta(description="Only variables with this value.")] | UnsetType = UNSET
    user_id: Annotated[int, Meta(ge=0, description="Only variables of this user.")] | UnsetType = UNSET
    start_date: Date | UnsetType = UNSET
    end_date: Date | UnsetType = UNSET
    to_date: Date | UnsetType = UNSET
    page: Annotated[int, Meta(ge=1, description="Which page, from 1.")] = 1
    per_page: Annotated[int, Meta(ge=1, description="Rows a page; above 100 is 100.")] = 25


_SET = {"status": 201}
_ROW = {
    "key": "current_plan",
    "value": "Lifetime Plan",
    "id": 15495246,
    "created_at": 1586750021.0,
    "updated_at": 1586750442.0,
    "user": {"display_name": "User 8880460", "id": 8880460},
}
_PAGE = {"current_page": 1, "per_page": 1, "total_entries": 582068, "total_pages": 582068, "storage": [_ROW]}
_SETTING = {"key": "role", "value": "guest", "bot_id": AGENT_ID}
_GUARDED = (errors.Denied, errors.Undeclared)
_WRITE = (*_GUARDED, errors.TooLarge, errors.QuotaExceeded)

set_variable = Description(
    {200: Content("The variable was set.", shapes.Set, examples={"set": _SET})},
    body=Content("The variable.", Setting, (JSON, FORM), {"role": _SETTING}),
    refuses=_WRITE,
)

variables = Description(
    {200: Content("A page of variables.", shapes.Listed, examples={"page": _PAGE})}, query=Listing, refuses=_GUARDED
)

# OpenAPI links from an answer to the routes of the variable that it names.
_THERE = {"key": "$request.path.key", "bot_id": "$request.query.bot_id"}
_LEADS_TO = dict.fromkeys(("get_global", "delete_global"), _THERE)

set_global = Description(
    {201: Content("The variable was set.", shapes.Set, examples={"set": _SET}, leads_to=_LEADS_TO)},
    query=OfBot,
    refuses=_WRITE,
    body=Content("Its value.", GlobalSetting, (JSON, FORM), {"greeting": {"value": "hello"}}),
)

get_global = Description(
    {200: Content("The variable.", shapes.Global, examples={"greeting": {"key": "greeting", "value": "hello"}})},
    query=OfBot,
    refuses=(*_GUARDED, errors.NotFound),
)

delete_global = Description(
    {200: Content("The variable was deleted.", shapes.Deleted, examples={"deleted": {"status": 200}})},
    query=OfBot,
    refuses=(*_GUARDED, errors.NotFound),
)

clear = Description(
    {200: Content("All variables of the agent were removed.", shapes.Cleared, examples={"cleared": {"success": True}})},
    body=Content("What is to be cleared.", Clearing, examples={"variables": {"data_types": ["storage_data"]}}),
    refuses=(*_GUARDED, errors.TooLarge),
)

API = Api(
    title="Avaamo user storage",
    version="1",
    about=(
        "Variables of an agent's users, listed newest first through filters.\n\n"
        "View permission on the agent reads, edit permission reads and writes. In a path, percent-encode what is no "
        "plain character. `HEAD` works wherever `GET` does. A request may name itself with `X-Request-Id`."
    ),
    path=Path,
    security={"token": {"type": "apiKey", "in": "header", "name": "Access-Token", "description": "An access token."}},
    error=shapes.Error,
)
