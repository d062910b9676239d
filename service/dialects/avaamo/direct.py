"""The short way of a set whose user is known to the worker: one command, as the handler of the same name would send."""

from collections.abc import Callable
from typing import Any

from service.dialect import Answer, Command, Request
from service.dialects.avaamo.answers import SET
from service.dialects.avaamo.parameters import BODY_BYTES, NAME, bot, key_of, layer, setting, value_of


def set_variable(request: Request, body: bytes) -> tuple[Command, Callable[[Any], Answer]] | None:
    if len(body) > BODY_BYTES:
        return None
    user, given = layer(request.params[0]), setting(request.headers, body)
    place, key, value = bot({}, given), key_of(given), value_of(given)
    variables = request.service.storage.variables
    known = request.service.directory.learned(NAME, "user", user)
    number = variables.numbers.at_hand(NAME)
    if known is None or number is None:
        return None

    def tell(reply: bytes) -> Answer:
        variables.assigned(place, number, reply)
        return Answer(200, SET)

    return variables.assigning(place, request.caller.id, known, key, value, number), tell
