"""The section `ainoflow` of the access document: API keys with their rates, projects with their quotas and journals."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct, field
from msgspec.structs import asdict

from service.api.access_types import Expires, Id, InvalidValue, Secret, distinct
from service.storage.access.directory import Caller, Entry, Token
from service.storage.records.record import CALLER_ID_BYTES

Count = Annotated[int, Meta(ge=0)]


class Rate(Struct, forbid_unknown_fields=True):
    requests: Annotated[int, Meta(ge=1, le=1_000_000)]
    seconds: Annotated[float, Meta(ge=0.001, le=86_400)]


class Key(Struct, forbid_unknown_fields=True):
    id: Id
    project: Id | None = None
    key: Secret | None = None
    rate: Rate | None = None
    expires: Expires | None = None
    remove: bool = False

    def __post_init__(self) -> None:
        if self.project is None and not self.remove:
            raise InvalidValue("it needs a project")
        if len(str(self.id).encode()) > CALLER_ID_BYTES:
            raise InvalidValue(f"it must have at most {CALLER_ID_BYTES} bytes", ".id")

    def token(self) -> Token:
        rate = (self.rate.requests, self.rate.seconds) if self.rate else None
        caller = Caller(str(self.id), {"project": str(self.project)}, rate, self.expires)
        return Token(caller, self.key, str(self.id), self.remove)


class Limits(Struct, forbid_unknown_fields=True):
    documents: Count | None = None
    bytes: Count | None = None


class Journal(Struct, forbid_unknown_fields=True):
    entries: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    seconds: Annotated[int, Meta(ge=1, le=315_360_000)] = 604_800
    values: bool = True


class Project(Struct, forbid_unknown_fields=True):
    id: Id
    quota: Limits | None = None
    journal: Journal | None = None
    remove: bool = False

    def entry(self) -> Entry:
        quota = {"documents": self.quota.documents, "bytes": self.quota.bytes} if self.quota else None
        declared = {"quota": quota} | ({"journal": asdict(self.journal)} if self.journal else {})
        return Entry("project", str(self.id), None if self.remove else declared, meters=str(self.id))


class Access(Struct, forbid_unknown_fields=True):
    keys: list[Key] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)

    def __post_init__(self) -> None:
        distinct("keys", (key.id for key in self.keys), "id")
        distinct("keys", (key.key for key in self.keys), "key")
        distinct("projects", (project.id for project in self.projects), "id")

    def changes(self) -> Iterable[Token | Entry]:
        yield from (project.entry() for project in self.projects)
        yield from (key.token() for key in self.keys)
