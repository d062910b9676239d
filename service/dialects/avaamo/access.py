"""The section `avaamo` of the access document: agents, tokens with their permissions on agents, users."""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from service.api.access_types import NUMERIC, TRIMMED, UNTRIMMED, Expires, InvalidValue, Secret, distinct
from service.dialects.avaamo.parameters import NAME_CHARACTERS
from service.storage.access.directory import Caller, Entry, Token, digest
from service.storage.variables.variables import NUMBER

AGENT, PERMISSIONS = "agent", "permissions"  # kinds of entries

Number = Annotated[str, Meta(pattern=NUMERIC)] | Annotated[int, Meta(ge=0, lt=10**18)]
Id = Annotated[str, Meta(pattern=TRIMMED, max_length=NAME_CHARACTERS)] | int
Permission = Literal["edit", "view"]


class Agent(Struct, forbid_unknown_fields=True):
    id: Number
    remove: bool = False


class AccessToken(Struct, forbid_unknown_fields=True):
    token: Secret | None = None
    id: Id | None = None
    agents: dict[Number, Permission] = field(default_factory=dict)
    expires: Expires | None = None
    remove: bool = False

    def __post_init__(self) -> None:
        if self.id is None and self.token is None:
            raise InvalidValue("it needs an id, or the token itself")

    @property
    def subject(self) -> str:
        """Return the token's name in grants: its id, or its digest if it has no id."""
        return str(self.id) if self.id is not None else digest(str(self.token))

    @property
    def permissions(self) -> dict[str, str]:
        return {} if self.remove else {str(id): permission for id, permission in self.agents.items()}

    def declared(self) -> Token:
        caller = Caller(self.subject, {}, None, self.expires)
        return Token(caller, self.token, None if self.id is None else str(self.id), self.remove)


class User(Struct, forbid_unknown_fields=True):
    layer_id: Id
    id: Number | None = None
    display_name: Annotated[str, Meta(pattern=UNTRIMMED)] = ""
    remove: bool = False

    def __post_init__(self) -> None:
        if not self.remove and (self.id is None or not 0 < int(self.id) < NUMBER):
            raise InvalidValue(f"it must be from 1 to {NUMBER - 1}", ".id")

    @property
    def number(self) -> int | None:
        """The user's integer id; None removes the user."""
        return None if self.remove or self.id is None else int(self.id)


class Access(Struct, forbid_unknown_fields=True):
    agents: list[Agent] = field(default_factory=list)
    tokens: list[AccessToken] = field(default_factory=list)
    users: list[User] = field(default_factory=list)

    def __post_init__(self) -> None:
        distinct("agents", (agent.id for agent in self.agents), "id")
        distinct("tokens", (token.id for token in self.tokens), "id")
        distinct("tokens", (token.token for token in self.tokens), "token")
        distinct("users", (user.layer_id for user in self.users), "layer_id")
        distinct("users", (user.number for user in self.users), "id")

    def changes(self) -> Iterable[Token | Entry]:
        for agent in self.agents:
            yield Entry(AGENT, str(agent.id), None if agent.remove else {})
        for token in self.tokens:
            yield Entry(PERMISSIONS, token.subject, token.permissions or None)
            yield token.declared()
