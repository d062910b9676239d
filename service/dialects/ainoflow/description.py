"""Descriptions of the routes for the OpenAPI document, each under the name of its handler."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.api.description import Api, Content, Description
from service.dialects.ainoflow import shapes
from service.dialects.ainoflow.parameters import LAST_OFFSET, LONGEST_MS
from service.storage import errors

ExpiresAt = Annotated[
    shapes.Instant,
    Meta(
        description="When the document expires: ISO 8601, in the future; without a zone in UTC. Excludes `expiresMs`.",
        examples=["2099-01-15T10:30:00Z"],
    ),
]
ExpiresMs = Annotated[
    int,
    Meta(
        ge=1,
        le=LONGEST_MS,
        examples=[3_600_000],
        description="In how many milliseconds the document expires. Excludes `expiresAt`.",
    ),
]
IfMatch = Annotated[
    str, Meta(description="Go ahead only if the document has one of these etags; `*`: only if there is a document.")
]
IfNoneMatch = Annotated[
    str, Meta(description="Go ahead only if the document has none of these etags; `*`: only if there is no document.")
]
Known = Annotated[str, Meta(description="Etags of what the client has; 304 if the document has one of them.")]
Page = Annotated[int, Meta(ge=1, le=LAST_OFFSET, description="Which page, from 1.")]
Limit = Annotated[int, Meta(ge=1, le=1000, description="Items a page.")]
Aggregate = Annotated[bool, Meta(description="Answer an object that has the totals beside the items.")]
CursorOfList = Annotated[
    Literal[""],
    Meta(description="Begin with it empty, then go on with `X-Next-Cursor`. Excludes `page`."),
]
Prefix = Annotated[str, Meta(description="Only items whose names begin so; of documents with `sortBy=key` alone.")]
SortBy = Annotated[Literal["createdAt", "updatedAt", "size", "key"], Meta(description="Ties break by key.")]
SortOrder = Annotated[Literal["asc", "desc"], Meta(description="Ascending or descending.")]


class Path(Struct):
    category: shapes.Category
    key: shapes.Key
    cursor: shapes.Cursor


class Lifetime(Struct, rename="camel"):
    expires_at: ExpiresAt | UnsetType = UNSET
    expires_ms: ExpiresMs | UnsetType = UNSET


class Reading(Struct, rename="camel"):
    allow_empty: Annotated[bool, Meta(description="Answer `{}` instead of 404.")] = False


class Listing(Struct, rename="camel"):
    page: Page | UnsetType = UNSET
    limit: Limit = 50
    aggregate: Aggregate = False
    cursor: CursorOfList | UnsetType = UNSET
    prefix: Prefix | UnsetType = UNSET


class Sorting(Listing, rename="camel"):
    sort_by: SortBy = "createdAt"
    sort_order: SortOrder = "asc"


class Condition(Struct):
    if_match: IfMatch | UnsetType = field(name="If-Match", default=UNSET)
    if_none_match: IfNoneMatch | UnsetType = field(name="If-None-Match", default=UNSET)


class Cached(Struct):
    if_none_match: Known | UnsetType = field(name="If-None-Match", default=UNSET)


INVOICE = {
    "invoice_number": "INV-12345",
    "date": "2024-01-15",
    "total": 1250.00,
    "customer": {"name": "Acme Corp", "email": "billing@acme.com"},
}
LOCK = {"locked_by": "user-123", "locked_at": "2024-01-15T10:30:00Z", "expires_at": "2024-01-15T11:30:00Z"}
EVENT = {"event_type": "user_login", "timestamp": "2024-01-15T10:30:00Z", "user_id": "user-456"}
CHANGE = {"theme": "light", "notifications": {"email": False}}

Json = dict[str, Any] | list[Any]


def _document(**examples: Any) -> Content:
    return Content("An object or an array. It is kept, and comes back, byte for byte.", Json, examples=examples)


WHEN = {"createdAt": "2024-01-15T10:30:00Z", "updatedAt": "2024-01-15T14:20:00Z", "expiresAt": None}
SUMS = {"totalCount": 1520, "page": 2, "pageSize": 10, "totalPages": 152}
RECEIPT = {
    "category": "invoices",
    "key": "inv-12345",
    "version": 1,
    "etag": "9bb58f26192e4ba00f01e2e7b136bbd8",
    "expiresAt": None,
}
METADATA = {
    "category": "invoices",
    "key": "inv-12345",
    **WHEN,
    "version": 3,
    "etag": RECEIPT["etag"],
    "size": 256,
    "createdBy": "api_key_123",
    "updatedBy": "api_key_123",
}
ITEM = {
    "category": "invoices",
    "key": "inv-12345",
    "value": {"invoice_number": "INV-12345", "total": 1250.00},
    "size": 1024,
    **WHEN,
}
COUNTS = [{"category": name, "count": count} for name, count in (("customers", 58), ("invoices", 142), ("settings", 5))]


Tag = Annotated[str, Meta(pattern='^"[0-9a-f]{32}"$', description="The document's etag, in quotes.")]
Modified = Annotated[str, Meta(description="When the document was last written.")]


class Validators(Struct):
    etag: Tag = field(name="ETag")
    modified: Modified = field(name="Last-Modified")


class ValidatorsIfAny(Struct):
    """Validators of a document; the empty answer to `allowEmpty` has none."""

    etag: Tag | UnsetType = field(name="ETag", default=UNSET)
    modified: Modified | UnsetType = field(name="Last-Modified", default=UNSET)


class Totals(Struct):
    count: Annotated[shapes.Count, Meta(description="Items on all pages.")] = field(name="X-Total-Count")
    limit: Annotated[int, Meta(ge=1, description="Items a page.")] = field(name="X-Limit")
    page: Annotated[int, Meta(ge=1, description="Which page this is; without `cursor`.")] | UnsetType = field(
        name="X-Page", default=UNSET
    )
    pages: Annotated[shapes.Count, Meta(description="How many pages there are; without `cursor`.")] | UnsetType = field(
        name="X-Total-Pages", default=UNSET
    )
    next: Annotated[str, Meta(description="The `cursor` to go on with; absent at the end.")] | UnsetType = field(
        name="X-Next-Cursor", default=UNSET
    )


def _listed(about: str, item: type, page: type, example: Any, totals: Any) -> Content:
    return Content(
        f"{about} With `aggregate=true` they are in an object with the totals.",
        list[item] | page,  # type: ignore[valid-type]
        examples={"array": example, "aggregate": totals},
        headers=Totals,
    )


# OpenAPI links from an answer to the routes of the document that it names.
PARAMETERS_OF_LINKS = {"category": "$response.body#/category", "key": "$response.body#/key"}
LINKS = dict.fromkeys(("get", "meta", "patch", "delete"), PARAMETERS_OF_LINKS)

WRITTEN = Content("The document was stored.", shapes.Receipt, examples={"receipt": RECEIPT}, leads_to=LINKS)

_WRITE = (errors.TooLarge, errors.QuotaExceeded)

create_unnamed = Description({201: WRITTEN}, query=Lifetime, body=_document(event=EVENT), refuses=_WRITE)

create = Description({201: WRITTEN}, query=Lifetime, body=_document(lock=LOCK), refuses=(*_WRITE, errors.AlreadyExists))

put = Description(
    {200: WRITTEN},
    query=Lifetime,
    headers=Condition,
    body=_document(invoice=INVOICE),
    refuses=(*_WRITE, errors.Changed),
)

patch = Description(
    {200: WRITTEN},
    headers=Condition,
    refuses=(*_WRITE, errors.NotFound, errors.Changed),
    body=Content("A merge patch, or an array that replaces the document.", Json, examples={"change": CHANGE}),
)

get = Description(
    {
        200: Content("The document.", Json, examples={"invoice": INVOICE}, headers=ValidatorsIfAny),
        304: Content("The client has this document.", headers=Validators),
    },
    query=Reading,
    headers=Cached,
    refuses=(errors.NotFound,),
)

meta = Description(
    {200: Content("What is known of the document.", shapes.Metadata, examples={"metadata": METADATA})},
    refuses=(errors.NotFound,),
)

delete = Description(
    {
        200: Content(
            "The document was deleted.",
            shapes.Deleted,
            leads_to=LINKS,
            examples={
                "deleted": {
                    "category": "invoices",
                    "key": "inv-12345",
                }
            },
        )
    },
    headers=Condition,
    refuses=(errors.NotFound, errors.Changed),
)

categories = Description(
    {
        200: _listed(
            "The categories that have documents.",
            shapes.Counted,
            shapes.Categories,
            COUNTS,
            {"items": COUNTS, "totalCount": 3, "page": 1, "pageSize": 50, "totalPages": 1},
        )
    },
    query=Listing,
)

documents = Description(
    {
        200: _listed(
            "The documents of the category.",
            shapes.Item,
            shapes.Documents,
            [ITEM],
            {"category": "invoices", "items": [ITEM], **SUMS},
        )
    },
    query=Sorting,
)

whoami = Description(
    {200: Content("Whose key this is.", shapes.Identity, examples={"key": {"id": "api_key_123", "project": "acme"}})}
)

API = Api(
    title="Ainoflow JSON storage",
    version="1",
    about=(
        "Schema-free JSON documents in categories, with versions, merge patch and expiry.\n\n"
        "A document comes back byte for byte as it was sent. In a path, percent-encode what is no plain character "
        "(`/` as `%2F`). `HEAD` works wherever `GET` does. A request may name itself with `X-Request-Id`."
    ),
    path=Path,
    security={"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
    error=shapes.Error,
)
