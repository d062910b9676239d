"""The section `auravant` of the access document: extensions, users, who leads them, fields, farms, tokens.

What is declared of a space's or a group's members and of those who lead them are entries of their own, so that an entry
which leaves one of the two out leaves it as it is.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from service.dialects.auravant.roles import ANYONE, FARMS, FIELDS
from service.storage.directory import Caller, Entry, Token
from service.storage.records import CALLER_ID_BYTES

ID_LENGTH = 200  # characters of any id
CLIENT_ID_LENGTH = 100

Id = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH)] | int
ClientId = Annotated[str, Meta(min_length=1, max_length=CLIENT_ID_LENGTH)]
Role = Literal["owner", "administration", "edit", "add", "read"]
USER, EXTENSION, MEMBERS, LEADERS = "user", "extension", "members", "leaders"  # kinds of entries


def uid(id: Id) -> str:
    """The id of a user, fit to be one. Raises ValueError."""
    text = str(id)
    if text == ANYONE or len(text.encode()) > CALLER_ID_BYTES:
        raise ValueError(f"user {text!r}: an id has at most {CALLER_ID_BYTES} bytes, and is not {ANYONE!r}")
    return text


class Extension(Struct, forbid_unknown_fields=True):
    client_id: ClientId
    versions: list[Id] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    remove: bool = False

    def entries(self) -> Iterable[Entry]:
        value = {"versions": [str(version) for version in self.versions], "claims": self.claims}
        yield Entry(EXTENSION, self.client_id, None if self.remove else value)


class User(Struct, forbid_unknown_fields=True):
    id: Id
    remove: bool = False

    def entries(self) -> Iterable[Entry]:
        yield Entry(USER, uid(self.id), None if self.remove else {})


class Space(Struct, forbid_unknown_fields=True):
    id: Id
    admins: list[Id] | None = None
    members: list[Id] | None = None
    remove: bool = False

    @property
    def name(self) -> str:
        return f"space:{self.id}"

    def entries(self) -> Iterable[Entry]:
        leaders = None if self.admins is None else {uid(id): "admin" for id in self.admins}
        return _circle(self.name, leaders, self.members, self.remove)


class Group(Struct, forbid_unknown_fields=True):
    id: Id
    supervisors: dict[Id, Literal["read", "edit"]] | None = None
    members: list[Id] | None = None
    remove: bool = False

    @property
    def name(self) -> str:
        return f"group:{self.id}"

    def entries(self) -> Iterable[Entry]:
        supervisors = self.supervisors
        leaders = None if supervisors is None else {uid(id): f"supervisor {how}" for id, how in supervisors.items()}
        return _circle(self.name, leaders, self.members, self.remove)


def _circle(name: str, leaders: dict[str, str] | None, members: list[Id] | None, remove: bool) -> Iterable[Entry]:
    """The entries of what has members and those who lead them."""
    ids = None if members is None else {"ids": [uid(id) for id in members]}
    yield from (
        Entry(kind, name, None if remove else value)
        for kind, value in ((LEADERS, leaders), (MEMBERS, ids))
        if remove or value is not None
    )


class Plot(Struct, forbid_unknown_fields=True):
    """A field or a farm."""

    id: Id
    permissions: dict[Id, Role] | None = None
    remove: bool = False

    def entries(self, scope: str) -> Iterable[Entry]:
        if self.permissions is None and not self.remove:
            raise ValueError(f"{scope}: {self.id} needs permissions")
        roles: dict[str, Any] = {uid(id): role for id, role in (self.permissions or {}).items()}
        yield Entry(scope, str(self.id), None if self.remove else roles)


class Declared(Struct, forbid_unknown_fields=True):
    """A token. One that is not given in the clear goes by what it says of its bearer."""

    user: Id | None = None
    extension: ClientId | None = None
    version: Id | None = None
    environment: Literal["production", "dev"] = "production"
    token: Annotated[str, Meta(pattern="^[!-~]+$")] | None = None
    expires: datetime | None = None
    remove: bool = False

    def change(self) -> Token:
        described = self.user is not None and self.extension is not None and self.version is not None
        if not described and not (self.remove and self.token):
            raise ValueError("tokens: each needs a user, an extension and a version")
        expires = self.expires.replace(tzinfo=self.expires.tzinfo or UTC).timestamp() if self.expires else None
        claims = {"extension": self.extension, "version": str(self.version), "environment": self.environment}
        caller = Caller("" if self.user is None else uid(self.user), claims, None, expires)
        name = f"{self.user} {self.extension} {self.version} {self.environment}" if self.token is None else None
        return Token(caller, self.token, name, self.remove)


class Access(Struct, forbid_unknown_fields=True):
    extensions: list[Extension] = field(default_factory=list)
    users: list[User | Id] = field(default_factory=list)
    spaces: list[Space] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    fields: list[Plot] = field(default_factory=list)
    farms: list[Plot] = field(default_factory=list)
    tokens: list[Declared] = field(default_factory=list)

    def people(self) -> list[User]:
        return [each if isinstance(each, User) else User(each) for each in self.users]

    def changes(self) -> Iterable[Token | Entry]:
        named: Iterable[Extension | User | Space | Group] = chain(
            self.extensions, self.people(), self.spaces, self.groups
        )
        for each in named:
            yield from each.entries()
        for scope, plots in ((FIELDS, self.fields), (FARMS, self.farms)):
            for plot in plots:
                yield from plot.entries(scope)
        yield from (token.change() for token in self.tokens)
