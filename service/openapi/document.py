"""The OpenAPI 3.1 document of a dialect, made from the descriptions of its routes (service/api/description.py).

Refusals are not described by hand. The dialect renders each one, and the document shows the resulting status and body,
with the headers that the middleware adds. So the document cannot differ from the answers that clients get.
"""

import json
import re
from collections.abc import Iterator
from inspect import getdoc
from typing import Any

import msgspec

from service.api.description import JSON, Api, Content, Description
from service.api.dialect import Answer, Dialect, Failure, Route, Unsupported
from service.api.idempotency import HEADER, LONGEST, READING
from service.api.refusal_headers import REQUEST_ID, refusal_headers
from service.storage.errors import Invalid, OutcomeUnknown, Refusal, Reused, Throttled, Unauthenticated, Unavailable

VERSION = "3.1.1"
COMPONENT = "#/components/schemas/{name}"

Json = dict[str, Any]

# Refusals that every request of every dialect may get.
ALWAYS: tuple[type[Refusal], ...] = (Invalid, Unauthenticated, Throttled, Failure, Unavailable, OutcomeUnknown)

# The header that every writing request may have.
KEY: Json = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Carry out this request once: for a day, a repetition with the same key does nothing and gets the "
    "answer of the first request.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[!-~]+$"},
}


class Undescribed(ValueError):
    """A dialect or one of its routes has no description."""


def document(dialect: Dialect) -> Json:
    """Return the document of a dialect. Raises Undescribed."""
    if dialect.api is None:
        raise Undescribed(f"{dialect.name} is not described")
    return _Writer(dialect, dialect.api).document()


class _Writer:
    """Writer of one document. All schemas are made in one call, so that each Struct becomes one component."""

    def __init__(self, dialect: Dialect, api: Api) -> None:
        self._dialect, self._api = dialect, api
        types = list(_bodies(dialect, api))
        schemas, self._components = msgspec.json.schema_components(types, ref_template=COMPONENT)
        self._schemas = dict(zip(map(repr, types), schemas, strict=True))  # by name: not every type has a hash

    def document(self) -> Json:
        dialect, api = self._dialect, self._api
        paths: Json = {}
        for route in dialect.routes:
            paths.setdefault(route.template, {})[route.method.lower()] = self._operation(route)
        return {
            "openapi": VERSION,
            "info": {"title": api.title, "version": api.version, "description": api.about},
            "externalDocs": {"url": dialect.docs, "description": "The vendor's own page"},
            "servers": [{"url": "/"}],
            "security": [*({name: []} for name in api.security), *([{}] if api.open else [])],
            "tags": [{"name": dialect.name}],
            "paths": paths,
            "components": {"schemas": self._components, "securitySchemes": api.security},
        }

    def _operation(self, route: Route) -> Json:
        described, prose = route.described, getdoc(route.handler)
        if described is None or not prose:
            raise Undescribed(f"{route.method} {route.template} is not described")
        summary, _, more = prose.partition("\n\n")
        segments: Json = {parameter["name"]: parameter for parameter in _parameters(self._api.path, "path")}
        operation: Json = {
            "operationId": route.handler.__name__,
            "tags": [self._dialect.name],
            "summary": " ".join(summary.split()).removesuffix("."),
            **({"description": more} if more else {}),
            "parameters": [
                *(segments[name] for name in re.findall(r"\{(\w+)\}", route.template)),
                *_parameters(described.query, "query"),
                *_parameters(described.headers, "header"),
                *([] if route.method in READING else [KEY]),
            ],
            "responses": self._responses(described, () if route.method in READING else (Reused, Unsupported)),
            **({"security": []} if route.open else {}),
        }
        if described.body is not None:
            operation["requestBody"] = {"required": True, **self._message(described.body)}
        return operation

    def _message(self, content: Content) -> Json:
        if content.shape is None:
            return {"description": content.about}
        bodies = {
            media: {"schema": self._schemas[repr(one.shape)], "examples": _examples(one.examples)}
            for one in (content, *content.other)
            for media in one.media
        }
        return {"description": " ".join(one.about for one in (content, *content.other)), "content": bodies}

    def _responses(self, described: Description, besides: tuple[type[Refusal], ...]) -> Json:
        responses = {
            status: self._message(content) | {"headers": dict(_members(content.headers)), "links": _links(content)}
            for status, content in described.answers.items()
        }
        for status, refusals in self._refusals((*described.refuses, *ALWAYS, *besides)).items():
            refused = self._refused(refusals)
            # Some vendors refuse with a status of success, so one response may describe both.
            responses[status] = _either(responses[status], refused) if status in responses else refused
        return {str(status): responses[status] for status in sorted(responses)}

    def _refusals(self, kinds: tuple[type[Refusal], ...]) -> dict[int, list[tuple[Refusal, Answer]]]:
        """Return refusals of these kinds with the dialect's answers, grouped by status."""
        found: dict[int, list[tuple[Refusal, Answer]]] = {}
        for kind in dict.fromkeys(kinds):
            refusal = Throttled("1000000") if kind is Throttled else kind(_sentence(kind))
            answer = self._dialect.refuse(refusal, ())
            found.setdefault(answer.status, []).append((refusal, answer))
        return found

    def _refused(self, refusals: list[tuple[Refusal, Answer]]) -> Json:
        """Return the one response that describes all refusals with the same status."""
        named = [
            {name for name, _ in (*refusal_headers(refusal, self._dialect), *answer.headers)}
            for refusal, answer in refusals
        ]
        always, at_times = set.intersection(*named) | {REQUEST_ID}, set.union(*named)
        body = {
            "schema": self._schemas[repr(self._api.error)],
            "examples": _examples({type(refusal).__name__: json.loads(answer.body) for refusal, answer in refusals}),
        }
        return {
            "description": " ".join(_sentence(type(refusal)) for refusal, _ in refusals),
            "headers": {
                name: {"required": name in always, "schema": {"type": "string"}} for name in sorted(always | at_times)
            },
            "content": {JSON: body},
        }


def _bodies(dialect: Dialect, api: Api) -> Iterator[Any]:
    """Yield the types of all bodies."""
    yield api.error
    for described in (route.described for route in dialect.routes):
        if described is not None:
            contents = [*described.answers.values(), *([described.body] if described.body else [])]
            contents += [other for content in contents for other in content.other]
            yield from (content.shape for content in contents if content.shape is not None)


def _parameters(struct: type[msgspec.Struct] | None, place: str) -> list[Json]:
    """Return the fields of a Struct as parameters of a request."""
    return [{"name": name, "in": place} | member for name, member in _members(struct)]


def _links(content: Content) -> Json:
    return {name: {"operationId": name, "parameters": values} for name, values in content.leads_to.items()}


def _members(struct: type[msgspec.Struct] | None) -> Iterator[tuple[str, Json]]:
    """Yield the fields of a Struct by name, each with its schema, its description and `required`."""
    if struct is None:
        return
    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]
    for name, member in schema["properties"].items():
        about = {"description": member.pop("description")} if "description" in member else {}
        yield name, {"required": name in schema.get("required", ()), **about, "schema": member}


def _examples(values: Any) -> Json:
    return {name: {"value": value} for name, value in values.items()}


def _either(one: Json, other: Json) -> Json:
    """Return a response that is either `one`, a success, or `other`, a refusal."""
    bodies = [response["content"][JSON] for response in (one, other)]
    return {
        "description": f"{one['description']} {other['description']}",
        "headers": {name: header | {"required": False} for name, header in (one["headers"] | other["headers"]).items()},
        "content": one["content"]
        | {
            JSON: {
                "schema": {"anyOf": [body["schema"] for body in bodies]},
                "examples": bodies[0]["examples"] | bodies[1]["examples"],
            }
        },
        "links": one["links"],
    }


def _sentence(kind: type[Refusal]) -> str:
    """Return a refusal's description: the first sentence of its docstring."""
    prose, _, _ = (getdoc(kind) or kind.__name__).partition("\n\n")
    return " ".join(prose.split())
