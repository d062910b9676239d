"""How a dialect describes its routes, for the OpenAPI document that service/openapi.py makes of it.

Whatever has a shape is a Python type, and its JSON Schema is what `msgspec.json.schema_components` makes of it. The
fields of a Struct are the members of a body, the parameters of a query, the named segments of a path or the headers of
a message; each has its bounds, its description and its examples in its `Meta`, and is required if it has no default.
What a route does is said by its handler's docstring, and what a refusal is by the refusal's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.storage.errors import Refusal

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Content:
    """What a request or an answer carries."""

    about: str  # one sentence
    shape: Any = None  # the body's type; None: there is no body
    media: tuple[str, ...] = (JSON,)  # content types that the body may have
    examples: Mapping[str, Any] = field(default_factory=dict)  # such values, by what they show
    headers: type[msgspec.Struct] | None = None  # an answer's
    leads_to: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # handlers by name, with their parameters


@dataclass(frozen=True, slots=True)
class Description:
    """One route. Its path's parameters are described once for the whole dialect: `Api.path`."""

    answers: Mapping[int, Content]  # by status
    query: type[msgspec.Struct] | None = None
    headers: type[msgspec.Struct] | None = None
    body: Content | None = None
    refuses: tuple[type[Refusal], ...] = ()  # besides what any request may be told


@dataclass(frozen=True, slots=True)
class Api:
    """What is the same for all routes of a dialect."""

    title: str
    version: str  # of the vendor's API
    about: str  # Markdown
    path: type[msgspec.Struct]  # a field for each name in a template
    security: Mapping[str, Mapping[str, Any]]  # OpenAPI's security schemes; a request uses any one of them
    error: Any  # the type of a refusal's body
    open: bool = False  # may a request also come without a credential?
