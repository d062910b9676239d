"""The section `genesys` of the access document: users and passwords. Without any, the dialect is open to everybody."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, Struct, field

from service.api.access_types import PRINTED, USERNAME, InvalidValue, distinct
from service.storage.access.passwords import Login
from service.storage.records.record import CALLER_ID_BYTES


class Credential(Struct, forbid_unknown_fields=True):
    username: Annotated[str, Meta(pattern=USERNAME)]
    password: Annotated[str, Meta(pattern=PRINTED)] | None = None
    remove: bool = False

    def __post_init__(self) -> None:
        if len(self.username.encode()) > CALLER_ID_BYTES:
            raise InvalidValue(f"it must have at most {CALLER_ID_BYTES} bytes", ".username")


class Access(Struct, forbid_unknown_fields=True):
    credentials: list[Credential] = field(default_factory=list)

    def __post_init__(self) -> None:
        distinct("credentials", (credential.username for credential in self.credentials), "username")

    def changes(self) -> Iterable[Login]:
        yield from (Login(each.username, each.password, each.remove) for each in self.credentials)
