"""Client of a server with the Avaamo API: reads the variables of one agent."""

from typing import Annotated
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Raw, Struct

from service.migration.outcome import Refused
from service.remote.client import Remote
from service.storage.variables.variables import NUMBER, Variable

ROWS = 100  # variables on a page: the vendor's maximum

Id = Annotated[int, Meta(ge=1, le=NUMBER)]
Seconds = Annotated[float, Meta(ge=0, le=9e9)]  # since the epoch


class User(Struct):
    """The user of a variable."""

    id: Id
    display_name: str = ""


class Row(Struct):
    """One variable in a list. A global variable has no user."""

    key: str
    value: Raw
    id: Id
    created_at: Seconds
    updated_at: Seconds
    user: User | None = None

    @property
    def text(self) -> str:
        """The value as text: the content of a string, or a number with the digits that were sent."""
        raw = bytes(self.value)
        return msgspec.json.decode(raw, type=str) if raw[:1] == b'"' else raw.decode()

    @property
    def variable(self) -> Variable:
        """The variable as Polystow stores it, with times in microseconds."""
        created, updated = (round(at * 1_000_000) for at in (self.created_at, self.updated_at))
        return Variable(self.id, self.user.id if self.user else 0, self.key, self.text, created, updated)


class Page(Struct):
    """One page of the list of variables, newest first."""

    total_entries: int
    total_pages: int
    storage: list[Row]


class AgentStorage:
    """The variables of one agent."""

    def __init__(self, remote: Remote, agent: str) -> None:
        self._remote, self._agent = remote, agent

    async def page(self, number: int) -> Page:
        """Return one page of the list; pages count from 1. Raises Refused."""
        query = urlencode({"page": number, "per_page": ROWS})
        reply = await self._remote.ask("GET", f"/dashboard/bots/{self._agent}/storages.json?{query}")
        if reply.status != 200:
            shown = reply.body[:200].decode(errors="replace")
            raise Refused(f"page {number} of the variables was answered with {reply.status}: {shown}")
        try:
            found = msgspec.json.decode(reply.body, type=Page)
            for row in found.storage:
                row.text.encode()
            return found
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Refused(f"page {number} is not as the vendor's page describes it: {error}") from error
