"""The section `auravant` of the access document: extensions, users, spaces, groups, fields, farms, tokens.

The members and the leaders of a space or group are stored as two entries. A declaration without one of them does not
change that one.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from service.api.access_types import TRIMMED, Expires, InvalidValue, Name, Secret, distinct
from service.dialects.auravant.roles import ANYONE, FARMS, FIELDS
from service.storage.access.directory import Caller, Entry, Token
from service.storage.records.record import CALLER_ID_BYTES

ID_LENGTH = 200  # characters of any id
CLIENT_ID_LENGTH = 100

Id = Annotated[str, Meta(pattern=TRIMMED, max_length=ID_LENGTH)] | int
ClientId = Annotated[str, Meta(pattern=TRIMMED, max_length=CLIENT_ID_LENGTH)]
Role = Literal["owner", "administration", "edit", "add", "read"]
USER, EXTENSION, MEMBERS, LEADERS = "user", "extension", "members", "leaders"  # kinds of entries


def check_users(path: str, ids: Iterable[Id] | None) -> None:
    """Check that these are valid ids of users. `path` is their place in the document. Raises InvalidValue."""
    for id in map(str, ids or ()):
        if id == ANYONE or len(id.encode()) > CALLER_ID_BYTES:
            raise InvalidValue(f"the id of a user has at most {CALLER_ID_BYTES} bytes, and is not {ANYONE!r}", path)


class Extension(Struct, forbid_unknown_fields=True):
    client_id: ClientId
    versions: list[Id] = field(default_factory=list)
    claims: list[Name] = field(default_factory=list)
    remove: bool = False

    def entries(self) -> Iterable[Entry]:
        value = {"versions": [str(version) for version in self.versions], "claims": self.claims}
        yield Entry(EXTENSION, self.client_id, None if self.remove else value)


class User(Struct, forbid_unknown_fields=True):
    id: Id
    remove: bool = False

    def entries(self) -> Iterable[Entry]:
        yield Entry(USER, str(self.id), None if self.remove else {})


class Circle(Struct, forbid_unknown_fields=True):
    """A space or a group: its members, and the users who lead it."""

    id: Id
    members: list[Id] | None = None
    remove: bool = False

    @property
    def name(self) -> str:
        return f"{type(self).__name__.lower()}:{self.id}"

    def leaders(self) -> dict[str, str] | None:
        """Return the declared leaders with their roles; None if none are declared, and the earlier ones stay."""
        return None

    def entries(self) -> Iterable[Entry]:
        ids = None if self.members is None else {"ids": [str(id) for id in self.members]}
        for kind, value in ((LEADERS, self.leaders()), (MEMBERS, ids)):
            if self.remove or value is not None:
                yield Entry(kind, self.name, None if self.remove else value)


class Space(Circle):
    admins: list[Id] | None = None

    def __post_init__(self) -> None:
        check_users(".admins", self.admins)
        check_users(".members", self.members)

    def leaders(self) -> dict[str, str] | None:
        return None if self.admins is None else {str(id): "admin" for id in self.admins}


class Group(Circle):
    supervisors: dict[Id, Literal["read", "edit"]] | None = None

    def __post_init__(self) -> None:
        check_users(".supervisors", self.supervisors)
        check_users(".members", self.members)

    def leaders(self) -> dict[str, str] | None:
        supervisors = self.supervisors
        return None if supervisors is None else {str(id): f"supervisor {how}" for id, how in supervisors.items()}


class Plot(Struct, forbid_unknown_fields=True):
    """A field or a farm."""

    id: Id
    permissions: dict[Id, Role] | None = None
    remove: bool = False

    def __post_init__(self) -> None:
        check_users(".permissions", self.permissions)
        if self.permissions is None and not self.remove:
            raise InvalidValue("it needs permissions")

    def entries(self, scope: str) -> Iterable[Entry]:
        roles: dict[str, Any] = {str(id): role for id, role in (self.permissions or {}).items()}
        yield Entry(scope, str(self.id), None if self.remove else roles)


class Declared(Struct, forbid_unknown_fields=True):
    """A token. Without its text, it is identified by its user, extension, version and environment."""

    user: Id | None = None
    extension: ClientId | None = None
    version: Id | None = None
    environment: Literal["production", "dev"] = "production"
    token: Secret | None = None
    expires: Expires | None = None
    remove: bool = False

    def __post_init__(self) -> None:
        described = self.user is not None and self.extension is not None and self.version is not None
        if not described and not (self.remove and self.token):
            raise InvalidValue("it needs a user, an extension and a version")
        check_users(".user", None if self.user is None else [self.user])

    @property
    def name(self) -> str | None:
        return f"{self.user} {self.extension} {self.version} {self.environment}" if self.token is None else None

    def change(self) -> Token:
        claims = {"extension": self.extension, "version": str(self.version), "environment": self.environment}
        caller = Caller("" if self.user is None else str(self.user), claims, None, self.expires)
        return Token(caller, self.token, self.name, self.remove)


class Access(Struct, forbid_unknown_fields=True):
    extensions: list[Extension] = field(default_factory=list)
    users: list[User | Id] = field(default_factory=list)
    spaces: list[Space] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    fields: list[Plot] = field(default_factory=list)
    farms: list[Plot] = field(default_factory=list)
    tokens: list[Declared] = field(default_factory=list)

    def __post_init__(self) -> None:
        distinct("extensions", (each.client_id for each in self.extensions), "client_id")
        distinct("users", (each.id for each in self.people()))
        for index, user in enumerate(self.people()):
            check_users(f".users[{index}]", [user.id])
        for name in ("spaces", "groups", "fields", "farms"):
            distinct(name, (each.id for each in getattr(self, name)), "id")
        distinct("tokens", (each.token for each in self.tokens), "token")
        distinct("tokens", (each.name for each in self.tokens))

    def people(self) -> list[User]:
        return [each if isinstance(each, User) else User(each) for each in self.users]

    def changes(self) -> Iterable[Token | Entry]:
        named: tuple[Extension | User | Circle, ...] = (
            *self.extensions,
            *self.people(),
            *self.spaces,
            *self.groups,
        )
        for each in named:
            yield from each.entries()
        for scope, plots in ((FIELDS, self.fields), (FARMS, self.farms)):
            for plot in plots:
                yield from plot.entries(scope)
        yield from (token.change() for token in self.tokens)
