"""The short ways of the common requests: an area, or a text of it, that one command reads.

Each says what the handler of the same name would send, and tells the reply as it would; None, and Elsewhere, leave it
to the handler.
"""

from collections.abc import Callable
from typing import Any

from service.dialect import Answer, Command, Request
from service.dialects.genesys.answers import lengthy, members, short
from service.dialects.genesys.parameters import places
from service.storage.areas import Area
from service.storage.errors import Elsewhere

Asked = tuple[Command, Callable[[Any], Answer]] | None


def query(request: Request, body: bytes) -> Asked:
    def tell(area: Area) -> Answer:
        if any(map(lengthy, area.values.values())):
            raise Elsewhere("the texts are to be read step by step")
        return members(area, request.base)

    return _asked(request, tell)


def query_key(request: Request, body: bytes) -> Asked:
    return _asked(request, lambda area: short(area, request.params[1], request.base))


def _asked(request: Request, tell: Callable[[Area], Answer]) -> Asked:
    """With a `gms_user`, an id that the service may have made can be one of two areas: the handler looks for both."""
    found, areas = places(request, request.params[0]), request.service.storage.areas
    if len(found) != 1:
        return None
    place = found[0]
    return areas.finding(place), lambda reply: tell(areas.found(place, reply))
