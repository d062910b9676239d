"""The section `ainoflow` of the access document: API keys, their projects, and what each may use."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct, field

from service.storage.directory import Caller, Entry, Token
from service.storage.records import CALLER_ID_BYTES

Id = Annotated[str, Meta(min_length=1)] | int
Count = Annotated[int, Meta(ge=0)]


class Rate(Struct, forbid_unknown_fields=True):
    requests: Annotated[int, Meta(ge=1, le=1_000_000)]
    seconds: Annotated[float, Meta(ge=0.001, le=86_400)]


class Key(Struct, forbid_unknown_fields=True):
    id: Id
    project: Id | None = None
    key: Annotated[str, Meta(pattern="^[!-~]+$")] | None = None
    rate: Rate | None = None
    expires: datetime | None = None
    remove: bool = False

    def token(self) -> Token:
        if self.project is None and not self.remove:
            raise ValueError(f"key {self.id}: it needs a project")
        if len(str(self.id).encode()) > CALLER_ID_BYTES:
            raise ValueError(f"key {self.id}: an id has at most {CALLER_ID_BYTES} bytes")
        expires = self.expires.replace(tzinfo=self.expires.tzinfo or UTC).timestamp() if self.expires else None
        rate = (self.rate.requests, self.rate.seconds) if self.rate else None
        caller = Caller(str(self.id), {"project": str(self.project)}, rate, expires)
        return Token(caller, self.key, str(self.id), self.remove)


class Limits(Struct, forbid_unknown_fields=True):
    documents: Count | None = None
    bytes: Count | None = None


class Project(Struct, forbid_unknown_fields=True):
    id: Id
    quota: Limits | None = None
    remove: bool = False

    def entry(self) -> Entry:
        quota = {"documents": self.quota.documents, "bytes": self.quota.bytes} if self.quota else None
        return Entry("project", str(self.id), None if self.remove else {"quota": quota}, meters=str(self.id))


class Access(Struct, forbid_unknown_fields=True):
    keys: list[Key] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)

    def changes(self) -> Iterable[Token | Entry]:
        yield from (project.entry() for project in self.projects)
        yield from (key.token() for key in self.keys)
