"""Types of the JSON of batches: operations as they are parsed, results as they are encoded."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from service.dialects.ainoflow.parameters import LONGEST_MS
from service.dialects.ainoflow.shapes import Category, Etag, Expiry, Key, Version

Value = Annotated[
    Raw,
    Meta(
        description="An object or an array. It is stored with the bytes that it has here.",
        extra_json_schema={"anyOf": [{"type": "object"}, {"type": "array"}], "examples": [{"n": 1}]},
    ),
]
Patched = Annotated[
    Raw,
    Meta(
        description="A merge patch, or an array that replaces the document.",
        extra_json_schema={"anyOf": [{"type": "object"}, {"type": "array"}], "examples": [{"n": None}]},
    ),
]
ExpiresAt = Annotated[
    str,
    Meta(
        description="When the document expires: ISO 8601, in the future. Excludes `expiresMs`.",
        examples=["2099-01-15T10:30:00Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
ExpiresMs = Annotated[
    int,
    Meta(
        ge=1,
        le=LONGEST_MS,
        description="In how many milliseconds it expires. Excludes `expiresAt`.",
        examples=[3_600_000],
    ),
]
IfMatch = Annotated[str, Meta(description="Only if the document has this etag; `*`: only if there is a document.")]
IfNoneMatch = Annotated[Literal["*"], Meta(description="Only if there is no document.")]


class Create(Struct, tag_field="op", tag="create", rename="camel", forbid_unknown_fields=True):
    """The creation of a document that must not exist yet."""

    key: Key
    value: Value
    expires_at: ExpiresAt | UnsetType = UNSET
    expires_ms: ExpiresMs | UnsetType = UNSET


class Put(Struct, tag_field="op", tag="put", rename="camel", forbid_unknown_fields=True):
    """The storing of a document, new or not."""

    key: Key
    value: Value
    expires_at: ExpiresAt | UnsetType = UNSET
    expires_ms: ExpiresMs | UnsetType = UNSET
    if_match: IfMatch | UnsetType = UNSET
    if_none_match: IfNoneMatch | UnsetType = UNSET


class Patch(Struct, tag_field="op", tag="patch", rename="camel", forbid_unknown_fields=True):
    """A merge patch (RFC 7386). The document keeps its expiry."""

    key: Key
    value: Patched
    if_match: IfMatch | UnsetType = UNSET
    if_none_match: IfNoneMatch | UnsetType = UNSET


class Delete(Struct, tag_field="op", tag="delete", rename="camel", forbid_unknown_fields=True):
    """The deletion of a document."""

    key: Key
    if_match: IfMatch | UnsetType = UNSET
    if_none_match: IfNoneMatch | UnsetType = UNSET


Operation = Create | Put | Patch | Delete


class Batch(Struct, forbid_unknown_fields=True):
    """Operations on documents of one category, in their order."""

    operations: Annotated[list[Operation], Meta(extra_json_schema={"minItems": 1, "maxItems": 100})]


class Result(Struct, rename="camel"):
    """The state of a document after an operation; only its name after `delete`."""

    op: Literal["create", "put", "patch", "delete"]
    category: Category
    key: Key
    version: Version | UnsetType = UNSET
    etag: Etag | UnsetType = UNSET
    expires_at: Expiry | UnsetType = UNSET


class Done(Struct):
    """The results of a batch, in the order of its operations."""

    category: Category
    results: list[Result]
