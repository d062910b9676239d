"""Tests the OpenAPI document of each dialect: it is valid, complete, and correct as far as that needs no request."""

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from aiohttp import ClientSession
from msgspec import structs
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.api.dialect import Answer, Dialect, Request, Route, Routes
from service.dialects import discover
from service.openapi.document import Undescribed, document
from tests.running import Running

every_dialect = pytest.mark.parametrize("dialect", discover(), ids=lambda dialect: dialect.name)


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for template, path in described["paths"].items():
        for method, operation in path.items():
            yield method.upper(), template, operation


@every_dialect
def test_the_document_is_valid_openapi(dialect: Dialect) -> None:
    described = document(dialect)
    assert described["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(described).validate()


@every_dialect
def test_the_document_has_every_route_and_no_other(dialect: Dialect) -> None:
    found = [(method, template) for method, template, _ in operations(document(dialect))]
    assert sorted(found) == sorted((route.method, route.template) for route in dialect.routes)


@every_dialect
def test_every_operation_has_a_summary_and_its_answers(dialect: Dialect) -> None:
    for _, _, operation in operations(document(dialect)):
        assert operation["summary"]
        assert all(response["description"] for response in operation["responses"].values())
        assert any(status.startswith("2") for status in operation["responses"])
        assert {"500", "503"} <= set(operation["responses"])
        for parameter in operation["parameters"]:
            assert parameter["description"], parameter["name"]


@every_dialect
def test_every_example_matches_its_schema(dialect: Dialect) -> None:
    described = document(dialect)
    looked_at = 0
    for _, _, operation in operations(described):
        for message in (*operation["responses"].values(), operation.get("requestBody", {})):
            for body in message.get("content", {}).values():
                validator = OAS31Validator(body["schema"] | {"components": described["components"]})
                for example in body["examples"].values():
                    validator.validate(example["value"])
                    looked_at += 1
    assert looked_at > len(dialect.routes)


@every_dialect
def test_every_refusal_in_the_document_has_the_vendors_shape(dialect: Dialect) -> None:
    check = import_module(f"tests.dialects.{dialect.name}.shape").check
    for _, _, operation in operations(document(dialect)):
        for status, response in operation["responses"].items():
            for content_type, body in response.get("content", {}).items():
                for example in body["examples"].values() if int(status) >= 400 else ():
                    check(Answer(int(status), json.dumps(example["value"]).encode(), content_type))


@every_dialect
def test_links_name_operations_with_these_parameters(dialect: Dialect) -> None:
    described = document(dialect)
    known = {
        operation["operationId"]: {parameter["name"] for parameter in operation["parameters"]}
        for _, _, operation in operations(described)
    }
    assert len(known) == len(dialect.routes)
    for _, _, operation in operations(described):
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                assert set(link["parameters"]) <= known[link["operationId"]]


@every_dialect
async def test_the_document_is_served_unchanged(dialect: Dialect, service: Running, http: ClientSession) -> None:
    async with http.get(f"{service.url}/openapi/{dialect.name}.json") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert await answer.json() == json.loads(json.dumps(document(dialect)))


def test_a_status_of_both_success_and_refusal_has_both_schemas() -> None:
    dialect = discover()[0]
    puts = Routes(route for route in dialect.routes if route.method == "PUT")
    kind = replace(dialect, routes=puts, refuse=lambda *said: structs.replace(dialect.refuse(*said), status=200))
    described = document(kind)
    [(_, _, operation)] = operations(described)
    [(status, response)] = operation["responses"].items()
    body = response["content"]["application/json"]
    assert status == "200"
    assert [schema["$ref"].rpartition("/")[2] for schema in body["schema"]["anyOf"]] == ["Receipt", "Error"]
    assert {"receipt", "Invalid", "Unavailable"} <= set(body["examples"])
    assert not any(header["required"] for header in response["headers"].values())
    OpenAPIV31SpecValidator(described).validate()


def test_a_dialect_without_authentication_is_documented_as_such() -> None:
    dialect = discover()[0]
    assert dialect.api is not None
    assert document(dialect)["security"] == [{"key": []}]
    assert document(replace(dialect, api=replace(dialect.api, open=True)))["security"] == [{"key": []}, {}]


async def undocumented(request: Request) -> Answer:
    return Answer(200)


async def documented(request: Request) -> Answer:
    """Do nothing."""
    return Answer(200)


def test_a_route_without_a_description_is_refused() -> None:
    dialect = discover()[0]
    described = dialect.routes[0].described
    for route in (
        Route("GET", "/bare", documented, None),
        Route("GET", "/bare", undocumented, described),
    ):
        with pytest.raises(Undescribed, match="GET /bare is not described"):
            document(replace(dialect, routes=Routes([*dialect.routes, route])))
    with pytest.raises(Undescribed, match=dialect.name):
        document(replace(dialect, api=None))
