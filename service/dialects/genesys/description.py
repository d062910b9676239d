"""Descriptions of the routes for the OpenAPI document, each under the name of its handler."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.api.description import Api, Content, Description, FileHeaders, Ranged, download_answers
from service.api.dialect import Unsupported
from service.storage import errors

Id = Annotated[
    str,
    Meta(
        min_length=1,
        description="The id of a storage area.",
        examples=["39a98e24-b03b-4191-b756-1efe8f3b16b8"],
    ),
]
CustomId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        pattern="^(?!(custom|binary)$)",
        examples=["order-17"],
        description="An id of the client's own: any but `custom` and `binary`.",
    ),
]
Key = Annotated[str, Meta(min_length=1, description="A key of the storage area.", examples=["Key1"])]
Ttl = Annotated[
    str,
    Meta(
        description="The lifetime in seconds. A text that is no whole number from 1 to 315360000 counts as 30.",
        examples=["3600"],
    ),
]
User = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        examples=["customer-1"],
        description="The user that the area belongs to. Only this user finds an area with a custom id.",
    ),
]
AnyUser = Annotated[
    str, Meta(max_length=256, examples=["customer-1"], description="The user that the area may belong to.")
]
Cache = Annotated[str, Meta(description="No cache stores the answer.")]
Pragma = Annotated[str, Meta(description="`Cache-Control: no-cache` for HTTP/1.0.")]
Text = Annotated[str, Meta(description="The value of a key.")]


class Path(Struct):
    ttl: Ttl
    custom_id: CustomId = field(name="customId")
    id: Id
    key: Key


class Owner(Struct):
    user: User = field(name="gms_user")


class Owned(Struct):
    user: AnyUser | UnsetType = field(name="gms_user", default=UNSET)


class Reading(Ranged):
    user: AnyUser | UnsetType = field(name="gms_user", default=UNSET)


class Uncached(Struct):
    cache: Cache = field(name="Cache-Control")
    pragma: Pragma = field(name="Pragma")


class UncachedFile(FileHeaders):
    cache: Cache = field(name="Cache-Control")
    pragma: Pragma = field(name="Pragma")


class Made(Struct):
    """A new storage area."""

    id: Id


class Done(Struct):
    """An empty object."""


class Error(Struct):
    """Why a request was not carried out."""

    exception: Annotated[str, Meta(min_length=1, description="Which kind of refusal this is.")]
    message: Annotated[str, Meta(min_length=1)]


FORM = Content(
    "Keys and values. In a multipart form, a part with a file name is a file. Keys that begin with `_` are ignored.",
    dict[Annotated[str, Meta(min_length=1, max_length=256)], Text],
    media=("application/x-www-form-urlencoded", "multipart/form-data"),
    examples={"texts": {"Key1": "Value1", "Key2": "Value2", "Key3": "Value3"}},
)
ID = "39a98e24-b03b-4191-b756-1efe8f3b16b8"
FILE = f"http://127.0.0.1:8080/genesys/1/storage/binary/{ID}/FileKey"
PARAMETERS_OF_LINKS = {"id": "$response.body#/id"}
MADE = Content(
    "The storage area was made.",
    Made,
    examples={"made": {"id": ID}},
    headers=Uncached,
    leads_to=dict.fromkeys(("query", "update", "delete"), PARAMETERS_OF_LINKS),
)
DONE = Content("It was done.", Done, examples={"done": {}}, headers=Uncached)

_WRITE = (errors.TooLarge, errors.Denied, errors.QuotaExceeded, Unsupported)

create = Description({200: MADE}, body=FORM, refuses=_WRITE)

create_custom = Description({200: MADE}, headers=Owner, body=FORM, refuses=_WRITE)

update = Description({200: DONE}, headers=Owned, body=FORM, refuses=(*_WRITE, errors.NotFound))

query = Description(
    {
        200: Content(
            "All keys. The value of a file is its URL.",
            dict[str, Text],
            headers=Uncached,
            examples={
                "area": {
                    "Key2": "Value7",
                    "Key1": "Value6",
                    "Key3": "Value8",
                    "FileKey": FILE,
                }
            },
        )
    },
    headers=Owned,
    refuses=(errors.NotFound,),
)

query_key = Description(
    {
        200: Content(
            "The text, or the URL of a file.", str, ("text/plain; charset=utf-8",), {"text": "Value1"}, headers=Uncached
        )
    },
    headers=Owned,
    refuses=(errors.NotFound,),
)

query_binary = Description(download_answers(UncachedFile), headers=Reading, refuses=(errors.NotFound,))

delete = Description({200: DONE}, headers=Owned, refuses=(errors.NotFound,))

API = Api(
    title="Genesys Mobile Services Storage API",
    version="1",
    about=(
        "Texts and files in storage areas that go away by themselves.\n\n"
        "In a path, percent-encode what is no plain character (`/` as `%2F`). `HEAD` works wherever `GET` does. "
        "Without declared passwords everybody may call."
    ),
    path=Path,
    security={"password": {"type": "http", "scheme": "basic", "description": "A user and a password."}},
    error=Error,
    open=True,
)
