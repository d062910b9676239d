"""The section `avaamo` of the access document: agents, tokens with what each may do on which agent, users."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from service.dialects.avaamo.parameters import NAME_CHARACTERS
from service.storage.directory import Caller, Entry, Token, digest
from service.storage.variables import NUMBER

AGENT, PERMISSIONS = "agent", "permissions"  # kinds of entries

Number = Annotated[str, Meta(pattern="^[0-9]{1,18}\\Z")] | Annotated[int, Meta(ge=0, lt=10**18)]
Permission = Literal["edit", "view"]


class Agent(Struct, forbid_unknown_fields=True):
    id: Number
    remove: bool = False


class AccessToken(Struct, forbid_unknown_fields=True):
    token: Annotated[str, Meta(pattern="^[!-~]+\\Z")] | None = None
    id: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS)] | int | None = None
    agents: dict[Number, Permission] = field(default_factory=dict)
    expires: datetime | None = None
    remove: bool = False

    @property
    def subject(self) -> str:
        """How grants name it: by its id, or else by its digest."""
        if self.id is None and self.token is None:
            raise ValueError("a token needs an id, or the token itself")
        return str(self.id) if self.id is not None else digest(str(self.token))

    @property
    def permissions(self) -> dict[str, str]:
        return {} if self.remove else {str(id): permission for id, permission in self.agents.items()}

    def declared(self) -> Token:
        expires = self.expires.replace(tzinfo=self.expires.tzinfo or UTC).timestamp() if self.expires else None
        caller = Caller(self.subject, {}, None, expires)
        return Token(caller, self.token, None if self.id is None else str(self.id), self.remove)


class User(Struct, forbid_unknown_fields=True):
    layer_id: Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS)] | int
    id: Number | None = None
    display_name: str = ""
    remove: bool = False

    @property
    def number(self) -> int | None:
        """Its integer; None removes it."""
        if self.remove:
            return None
        if self.id is None or not 0 < int(self.id) < NUMBER:
            raise ValueError(f"user {self.layer_id}: it needs an id from 1 to {NUMBER - 1}")
        return int(self.id)


class Access(Struct, forbid_unknown_fields=True):
    agents: list[Agent] = field(default_factory=list)
    tokens: list[AccessToken] = field(default_factory=list)
    users: list[User] = field(default_factory=list)

    def changes(self) -> Iterable[Token | Entry]:
        for user in self.users:
            _ = user.number  # refuses what is not lawful, before anything is written
        for agent in self.agents:
            yield Entry(AGENT, str(agent.id), None if agent.remove else {})
        for token in self.tokens:
            yield Entry(PERMISSIONS, token.subject, token.permissions or None)
            yield token.declared()
