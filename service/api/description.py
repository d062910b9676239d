"""Descriptions of a dialect's routes; service/openapi/document.py makes the OpenAPI document from them.

Bodies, queries, path parameters and headers are described by Python types, and `msgspec.json.schema_components` makes
their JSON Schemas. The fields of a Struct are the members of a body, the parameters of a query, the named segments of a
path or the headers of a message. A field's bounds, description and examples are in its `Meta`; a field without a
default is required. The docstring of a handler describes its route, and the docstring of a refusal the refusal.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.storage.errors import Refusal

JSON = "application/json"

Range = Annotated[str, Meta(description="Which part of the file: one range of bytes.", examples=["bytes=0-99"])]
Known = Annotated[str, Meta(description="Etags of what the client has; 304 if the file has one of them.")]
Tag = Annotated[str, Meta(pattern='^"[0-9a-f]{32}"$', description="The MD5 of the file, in quotes.")]
Disposition = Annotated[str, Meta(description="That it is to be saved, and under which name.")]


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a request or an answer."""

    about: str  # one sentence
    shape: Any = None  # the body's type; None: there is no body
    media: tuple[str, ...] = (JSON,)  # content types that the body may have
    examples: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # values, by the name of the example
    headers: type[Struct] | None = None  # headers of an answer
    other: tuple["Content", ...] = ()  # this content in other content types, for clients that ask for one of them
    # OpenAPI links: names of handlers that the answer leads to, each with its parameters.
    leads_to: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


class Ranged(Struct):
    """Headers of a request for a file."""

    range: Range | UnsetType = field(name="Range", default=UNSET)
    known: Known | UnsetType = field(name="If-None-Match", default=UNSET)


class FileHeaders(Struct):
    """Headers of an answer that holds a file."""

    etag: Tag = field(name="ETag")
    disposition: Disposition = field(name="Content-Disposition")


def download_answers(headers: type[Struct]) -> dict[int, Content]:
    """Return the answers, by status, of a route that serves files (service/api/downloads.py)."""
    return {
        200: Content("The file.", bytes, ("*/*",), headers=headers),
        206: Content("That part of the file.", bytes, ("*/*",), headers=headers),
        304: Content("The client has this file.", headers=headers),
        416: Content("The file has no such part.", headers=headers),
    }


@dataclass(frozen=True, slots=True)
class Description:
    """The description of one route. Path parameters are described once for the whole dialect: `Api.path`."""

    answers: Mapping[int, Content]  # by status
    query: type[Struct] | None = None
    headers: type[Struct] | None = None
    body: Content | None = None
    refuses: tuple[type[Refusal], ...] = ()  # refusals of this route, besides those that any request may get


@dataclass(frozen=True, slots=True)
class Api:
    """The description that all routes of a dialect share."""

    title: str
    version: str  # of the vendor's API
    about: str  # Markdown
    path: type[Struct]  # one field for each parameter name in the path templates
    security: Mapping[str, Mapping[str, Any]]  # OpenAPI's security schemes; a request uses any one of them
    error: Any  # the type of a refusal's body
    open: bool = False  # True if a request may also come without a credential
