"""Tests that the live feed is as the OpenAPI document describes it."""

import json
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from service.dialects.ainoflow import DIALECT
from service.openapi.document import document
from tests.dialects.ainoflow.client import Client, at
from tests.dialects.ainoflow.events import EVENTS, follow

pytestmark = pytest.mark.journal

DOCUMENT = document(DIALECT)
ANSWER = DOCUMENT["paths"]["/api/v1/storage/changes/{category}"]["get"]["responses"]["200"]


def check(change: Any) -> None:
    """Fail if a change is not as the document describes it."""
    schema = {"$ref": "#/components/schemas/Change", "components": DOCUMENT["components"]}
    OAS31Validator(schema).validate(change)


async def test_a_stream_has_a_content_type_of_the_document_and_changes_of_its_schema(project: Client) -> None:
    stream = await follow(project, "c")
    assert stream.response.headers["Content-Type"] in ANSWER["content"]
    await project.ask("POST", at("c", "k"), b'{"n":1}')
    await project.ask("PATCH", at("c", "k"), b'{"m":2}')
    await project.ask("DELETE", at("c", "k"))
    found = await stream.take(3)
    assert [event.data["op"] for event in found] == ["create", "patch", "delete"]
    for event in found:
        check(event.data)


def test_the_example_of_a_stream_consists_of_valid_events() -> None:
    assert list(ANSWER["content"]) == ["application/json", EVENTS]
    body = ANSWER["content"][EVENTS]
    assert body["schema"]["type"] == "string"
    assert "heartbeat" in body["schema"]["description"]
    (example,) = body["examples"].values()
    events = [dict(line.split(": ", 1) for line in event.splitlines()) for event in example["value"].split("\n\n")[:-1]]
    assert [event["event"] for event in events] == ["change", "heartbeat"]
    check(json.loads(events[0]["data"]))
    assert json.loads(events[0]["data"])["cursor"] == events[0]["id"] == events[1]["id"]
    assert events[1]["data"] == "{}"
