"""Descriptions of the routes of files, for the OpenAPI document."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.api.description import Content, Description, FileHeaders, Ranged, download_answers
from service.api.dialect import Unsupported
from service.dialects.auravant.description import CODED, USER, Operating, SharingFarms, SharingFields
from service.dialects.auravant.refusals import NoFile, NotPermitted, Oversized, Spent, Unreadable
from service.dialects.auravant.shapes import Fine, Flag, Id, Key, Keys, Resources
from service.storage import errors

MD5 = Annotated[str, Meta(pattern="^[A-Za-z0-9+/]{21}[AQgw]==$", description="The file's MD5, in base64.")]
Kilobytes = Annotated[float, Meta(ge=0, le=1e9, description="Its bytes divided by 1024 or by 1000.")]
Signed = Annotated[str, Meta(description="As it was answered.")]


class Given(Struct):
    """The body of an operation. PUT and PATCH need the resource, `key`, `original_file_name`, `md5` and
    `file_size_kb`, GET and DELETE `keys`."""

    key: Annotated[Key, Meta(description="The key of the file.")] | UnsetType = UNSET
    original_file_name: Annotated[str, Meta(min_length=1, description="What the file is called.")] | UnsetType = UNSET
    md5: MD5 | UnsetType = UNSET
    file_size_kb: Kilobytes | UnsetType = UNSET
    overwrite: Annotated[Flag, Meta(description="PUT: drop a file that is there.")] = False
    create: Annotated[Flag, Meta(description="PATCH: also where there is no file.")] = False
    user: Annotated[Id, Meta(description="The user, in the scope of users.")] | UnsetType = UNSET
    field: Annotated[Id, Meta(description="The field, in the scope of fields.")] | UnsetType = UNSET
    farm: Annotated[Id, Meta(description="The farm, in the scope of farms.")] | UnsetType = UNSET
    keys: Keys | UnsetType = UNSET
    ids: Resources | UnsetType = UNSET
    id: Annotated[Id, Meta(description="DELETE: of which resource; left out: of all.")] | UnsetType = UNSET
    get_url: Annotated[Flag, Meta(description="GET: tell where the files are to be downloaded.")] = False


class OfFile(Struct):
    """A file. It has a `url` if one was asked for and the file was uploaded."""

    file_name: str
    file_size_kb: float
    created_at: str
    url: str | UnsetType = UNSET


class Data(Struct):
    """PUT and PATCH: the URL and the form fields for the upload. DELETE: the keys that were deleted."""

    url: str | UnsetType = UNSET
    fields: dict[str, str] | UnsetType = UNSET
    keys: list[str] | UnsetType = UNSET


class Told(Fine):
    """The answer of an operation: PUT, PATCH and DELETE `data`, GET `objects`."""

    info: Fine
    data: Data | UnsetType = UNSET
    objects: dict[str, Any] | UnsetType = UNSET


class Downloading(Struct):
    resource: Signed
    key: Signed
    generation: Signed
    user: Signed
    policy: Signed
    key_id: Signed = field(name="key-id")
    signature: Signed


class Uploaded(Downloading, forbid_unknown_fields=True):
    """The fields of the answer to PUT or PATCH in any order, then the file. The MD5 comes before or after the file."""

    md5: MD5 = field(name="Content-MD5")
    file: Annotated[str, Meta(description="The file, behind all fields that were answered.")]


FILE = {
    "file_name": "d5fa71aa-1f35-11ef-a2b9-ab5cffcaca66.pdf",
    "file_size_kb": 150.5,
    "created_at": "2024-01-01T00:00:00Z",
    "url": "http://127.0.0.1:8080/api/mktplace/filestorage/download?key=...",
}
ANNOUNCED = {
    "key": "key_1",
    "original_file_name": "report.pdf",
    "md5": "XUFAKrxLKna5cZ2REBfFkg==",
    "file_size_kb": 150.5,
}
OK: dict[str, Any] = {"code": 0, "res": "ok", "info": {"code": 0, "res": "ok"}}
TOLD = Content(
    "It was done; of a GET, the files.",
    Told,
    examples={
        "announced": {
            **OK,
            "data": {
                "url": "http://127.0.0.1:8080/api/mktplace/filestorage/upload",
                "fields": {
                    "resource": f"users/{USER}",
                    "key": "ext-a:production:key_1",
                    "generation": "1:1704067200000000",
                },
            },
        },
        "read": {**OK, "objects": {USER: {"key_1": FILE}}},
        "deleted": {**OK, "data": {"keys": ["eliminated_key_1", "eliminated_key_2"]}},
    },
)


def _files(name: str, resource: object) -> Description:
    given = Content(
        "What the operation is given. It is understood as a form too (`application/x-www-form-urlencoded`), in which "
        "`ids`, `keys` and `file_size_kb` are JSON.",
        Given,
        examples={
            "PUT": {name: resource, **ANNOUNCED, "overwrite": True},
            "PATCH": {name: resource, **ANNOUNCED},
            "GET": {"ids": [resource], "keys": ["key_1"], "get_url": True},
            "DELETE": {"id": resource, "keys": ["key_1"]},
        },
    )
    return Description(
        {200: TOLD},
        query=Operating,
        body=given,
        refuses=(
            *CODED,
            Oversized,
            errors.Denied,
            errors.NotFound,
            errors.AlreadyExists,
            errors.TooLarge,
            errors.QuotaExceeded,
        ),
    )


files_of_users = _files("user", USER)
files_of_fields = _files("field", 12345)
files_of_farms = _files("farm", 777)


def _shared(query: type[Struct]) -> Description:
    files = Content(
        "The files of each that has any.",
        dict[str, dict[str, OfFile]],
        examples={"shared": {"12345": {"public_ext_key": FILE}}},
    )
    return Description({200: files}, query=query, refuses=(*CODED, errors.TooLarge, Unreadable))


public_files_of_fields = _shared(SharingFields)
public_files_of_farms = _shared(SharingFarms)

upload = Description(
    {204: Content("The file is there.")},
    body=Content("A form, sent as the answer to PUT or PATCH says.", Uploaded, ("multipart/form-data",)),
    refuses=(Unsupported, NotPermitted, Spent, errors.TooLarge, errors.QuotaExceeded),
)

download = Description(download_answers(FileHeaders), query=Downloading, headers=Ranged, refuses=(NotPermitted, NoFile))
