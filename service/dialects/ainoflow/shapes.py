"""Types of the vendor's JSON. Answers are encoded from them, and their schemas are in the OpenAPI document.

The order of the fields is the order on the wire.
"""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, json

from service.storage.journal.change import Operation

Category = Annotated[
    str, Meta(min_length=1, max_length=100, description="The category: a logical grouping.", examples=["invoices"])
]
Key = Annotated[str, Meta(min_length=1, max_length=200, description="The document's key.", examples=["inv-12345"])]
Version = Annotated[int, Meta(ge=1, description="1 at creation, and 1 more with each write.")]
Etag = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", description="The MD5 of the document's bytes, in hexadecimal.")]
Size = Annotated[int, Meta(ge=2, description="The document's bytes.")]
Instant = Annotated[datetime, Meta(tz=True)]
Created = Annotated[Instant, Meta(description="When the document was created.")]
Updated = Annotated[Instant, Meta(description="When it was last written.")]
Expiry = Annotated[Instant | None, Meta(description="When it expires; null: never.")]
Writer = Annotated[str, Meta(description="The id of an API key, never the key.", examples=["api_key_123"])]
Count = Annotated[int, Meta(ge=0)]
CURSOR = "(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})"  # a regular expression
Cursor = Annotated[
    str, Meta(pattern=f"^{CURSOR}$", description="The place of a change; it has no meaning but its order.")
]

encode = json.Encoder().encode


class Message(Struct):
    message: Annotated[str, Meta(min_length=1)]
    oldest: Annotated[str, Meta(description="With 410: the cursor from which on all changes are kept.")] | UnsetType = (
        UNSET
    )
    operation: Annotated[int, Meta(ge=0, description="The refused operation of a batch, from 0.")] | UnsetType = UNSET


class Error(Struct):
    """Why a request was not carried out."""

    error: Message


class Receipt(Struct, rename="camel"):
    """The state of a document after a write."""

    category: Category
    key: Key
    version: Version
    etag: Etag
    expires_at: Expiry


class Deleted(Struct):
    """The name of a deleted document."""

    category: Category
    key: Key


class Metadata(Struct, rename="camel"):
    """The metadata of a document."""

    category: Category
    key: Key
    created_at: Created
    updated_at: Updated
    expires_at: Expiry
    version: Version
    etag: Etag
    size: Size
    created_by: Writer
    updated_by: Writer


class Item(Struct, rename="camel"):
    """A document in a list."""

    category: Category
    key: Key
    value: Raw
    size: Size
    created_at: Created
    updated_at: Updated
    expires_at: Expiry


class Counted(Struct):
    """A category in a list, and how many documents it has."""

    category: Category
    count: Annotated[int, Meta(ge=1)]


class Identity(Struct):
    """The owner of an API key."""

    id: Writer
    project: str


class Paged(Struct, rename="camel", kw_only=True):
    """Totals beside the items: of a page, or of a part that a cursor begins."""

    total_count: Count
    page: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    page_size: Annotated[int, Meta(ge=1)]
    total_pages: Count | UnsetType = UNSET
    next_cursor: Annotated[str | None, Meta(description="With `cursor`; null at the end.")] | UnsetType = UNSET


class Documents(Paged, kw_only=True):
    """A page of a category."""

    category: Category
    items: list[Item]  # the answer is not encoded from this type: `answers.list_pieces` writes it


class Categories(Paged, kw_only=True):
    """A page of the categories."""

    items: list[Counted]


class Entry(Struct):
    """A change of a document."""

    cursor: Cursor
    op: Annotated[
        Operation,
        Meta(description="What was done; `expire`: the document had expired, and was removed from the lists."),
    ]
    key: Key
    version: Annotated[
        Version | None, Meta(description="The version after it; of `delete` and `expire`, the one that went.")
    ]
    etag: Annotated[Etag | None, Meta(description="The etag that goes with the version; null: it is not known.")]
    at: Annotated[Instant, Meta(description="When it was done.")]
    by: Annotated[Writer | None, Meta(description="Who did it; null for `expire`.")]


class Change(Entry):
    """A change in the feed of a category."""

    value: Annotated[Raw | UnsetType, Meta(description="The document after it, if the journal keeps it.")] = UNSET


class Past(Entry):
    """A change in the history of a document."""

    size: Annotated[Size | UnsetType, Meta(description="The bytes of the document after it.")] = UNSET


class Changes(Struct):
    """Changes of a category, oldest first."""

    category: Category
    changes: list[Change]
    next: Annotated[Cursor, Meta(description="The value of `since` to go on with.")]
    more: Annotated[bool, Meta(description="True: there are more changes now.")]


class History(Struct):
    """Changes of a document, newest first."""

    category: Category
    key: Key
    changes: list[Past]
    next: Annotated[Cursor | None, Meta(description="The value of `before` to go on with; null: these are all.")]
