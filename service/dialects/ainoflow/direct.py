"""The short ways of the common requests: no condition, no quota, nothing that takes more than one command.

Each says what the handler of the same name would send, and tells the reply as it would; None leaves it to the handler.
"""

from collections.abc import Callable
from typing import Any

from service.dialect import Answer, Command, Request
from service.dialects.ainoflow.answers import answer, described, receipt, shown
from service.dialects.ainoflow.parameters import NAME, checked, lifetime, place_of
from service.dialects.ainoflow.shapes import Deleted
from service.preconditions import conditional
from service.storage.commands import INLINE_BYTES
from service.storage.errors import NotFound
from service.storage.records import Record, etag, saved

Asked = tuple[Command, Callable[[Any], Answer]] | None


def get(request: Request, body: bytes) -> Asked:
    if request.query_string:
        return None
    category, key = request.params
    return (
        request.service.commands.get(place_of(request, category, key), key),
        lambda reply: shown(request.headers, record(reply)),
    )


def meta(request: Request, body: bytes) -> Asked:
    category, key = request.params
    return (
        request.service.commands.get(place_of(request, category, key), key),
        lambda reply: answer(200, described(category, key, record(reply))),
    )


def create(request: Request, body: bytes) -> Asked:
    if not plain(request, body):
        return None
    category, key = request.params
    place, until = place_of(request, category, key), lifetime(request.query()) if request.query_string else ""
    command = request.service.commands.create(place, key, checked(body), request.caller.id, until)
    return (command, lambda reply: receipt(201, category, key, saved(reply), etag(body)))


def put(request: Request, body: bytes) -> Asked:
    if not plain(request, body):
        return None
    category, key = request.params
    place, until = place_of(request, category, key), lifetime(request.query()) if request.query_string else ""
    command = request.service.commands.put(place, key, checked(body), request.caller.id, until)
    return (command, lambda reply: receipt(200, category, key, saved(reply), etag(body)))


def patch(request: Request, body: bytes) -> Asked:
    if not plain(request, body):
        return None
    category, key = request.params
    place, limit = place_of(request, category, key), request.service.settings.max_document_bytes
    command = request.service.commands.merge(place, key, checked(body), request.caller.id, limit)
    return command, lambda reply: receipt(200, category, key, saved(reply), etag(reply[6]))


def delete(request: Request, body: bytes) -> Asked:
    if not plain(request, body):
        return None
    category, key = request.params
    return (
        request.service.commands.delete(place_of(request, category, key), key),
        lambda reply: answer(200, Deleted(category, key)),
    )


def plain(request: Request, body: bytes) -> bool:
    """Is there neither a condition nor a quota, and does the body fit into one command?"""
    service = request.service
    if conditional(request.headers):
        return False
    if len(body) > INLINE_BYTES or len(body) > service.settings.max_document_bytes:
        return False
    project = service.directory.kept(NAME, "project", request.caller.claims["project"])
    return project is not None and not (project[0] and project[0]["quota"])


def record(reply: bytes | None) -> Record:
    if reply is None:
        raise NotFound("no such key")
    return Record.unpack(reply)
