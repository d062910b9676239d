"""The short ways of the common requests: what is one command of Redis. None leaves it to the handler.

Each says what the handler would send, and tells the reply as it would.
"""

from collections.abc import Callable
from typing import Any

from service.dialect import Answer, Command, Request
from service.dialects.auravant.access import EXTENSION
from service.dialects.auravant.answers import CLOSED, DONE, OPENED, entry, members
from service.dialects.auravant.parameters import (
    Body,
    Several,
    Write,
    body_of,
    claimed,
    operation,
    place_of,
    places_of,
    several,
    written,
)
from service.dialects.auravant.public import is_public
from service.dialects.auravant.refusals import Missing
from service.dialects.auravant.roles import NAME, USERS
from service.storage.commands import DISCARDED, INLINE_BYTES
from service.storage.conditions import PRESENT
from service.storage.records import Record

ANSWER_BYTES = 100_000  # of values that Redis replies in one go

Asked = tuple[Command, Callable[[Any], Answer]] | None


def storage(scope: str, request: Request, text: bytes) -> Asked:
    kept = request.service.directory.kept(NAME, EXTENSION, request.caller.claims["extension"])
    if kept is None or len(text) > min(INLINE_BYTES, request.service.settings.max_document_bytes):
        return None
    name, extension = operation(request), claimed(kept[0])
    body = body_of(request.headers.get("Content-Type", ""), text)
    if name == "GET":
        return get(request, scope, several(request, extension, body.keys, body.ids))
    if name == "DELETE":
        return delete(request, scope, body, extension)
    write = written(request, extension, scope, body)
    if scope == USERS and is_public(write.key) and (name == "PUT" or body.create):
        return None
    return (put if name == "PUT" else patch)(request, write, body), lambda reply: DONE


def put(request: Request, write: Write, body: Body) -> Command:
    commands, user = request.service.commands, request.caller.id
    if body.overwrite:
        return commands.put(write.place, write.id, write.value, user, "", subject=user)
    return commands.create(write.place, write.id, write.value, user, "", subject=user)


def patch(request: Request, write: Write, body: Body) -> Command:
    commands, user = request.service.commands, request.caller.id
    if body.append:
        limit = request.service.settings.max_document_bytes
        return commands.append(write.place, write.id, write.value, user, limit, subject=user, creating=body.create)
    if body.create:
        return commands.put(write.place, write.id, write.value, user, "", subject=user)
    return commands.put(write.place, write.id, write.value, user, "", PRESENT, subject=user)


def delete(request: Request, scope: str, body: Body, extension: dict[str, Any]) -> Asked:
    if body.id in (None, ""):
        raise Missing("id and keys are needed")
    asked = several(request, extension, body.keys, body.ids)
    if len(asked.ids) > DISCARDED:
        return None
    place = place_of(scope, str(body.id))
    return request.service.commands.discard(place, asked.ids, request.caller.id), lambda reply: DONE


def get(request: Request, scope: str, asked: Several) -> Asked:
    resources = asked.resources or ([request.caller.id] if scope == USERS else [])
    if len(resources) != 1:
        return None
    (place,) = places_of(scope, resources)
    names = dict(zip(asked.ids, asked.keys, strict=True))

    def tell(replies: list[bytes | None]) -> Answer:
        packed = zip(asked.ids, replies, strict=True)
        told = members([(id, Record.unpack(reply)) for id, reply in packed if reply is not None], names)
        if told and (scope != USERS or asked.resources is not None):
            told = entry(place.name, b"{" + told + b"}")
        return Answer(200, OPENED + told + CLOSED)

    return request.service.commands.read(place, asked.ids, request.caller.id, ANSWER_BYTES, whole=True), tell
