"""The section `genesys` of the access document: users and passwords. Without any, everybody may call."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct, field

from service.storage.passwords import Login
from service.storage.records import CALLER_ID_BYTES


class Credential(Struct, forbid_unknown_fields=True):
    username: Annotated[str, Meta(pattern=r"^[^:\x00-\x1f\x7f]+$")]  # RFC 7617, section 2
    password: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    remove: bool = False

    def login(self) -> Login:
        if len(self.username.encode()) > CALLER_ID_BYTES:
            raise ValueError(f"user {self.username}: a name has at most {CALLER_ID_BYTES} bytes")
        return Login(self.username, self.password, self.remove)


class Access(Struct, forbid_unknown_fields=True):
    credentials: list[Credential] = field(default_factory=list)

    def changes(self) -> Iterable[Login]:
        yield from (credential.login() for credential in self.credentials)
