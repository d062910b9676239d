"""Stores values and files from the vendor's own storage, as if the extension had stored them here.

Existing ones are never replaced, because the vendor's API does not return the times of values.
"""

from collections.abc import AsyncIterator
from hashlib import md5

from service.dialects.auravant.file_parameters import FILE_BYTES
from service.dialects.auravant.parameters import collection_of, record_id
from service.dialects.auravant.public import PUBLIC, is_public
from service.dialects.auravant.roles import NAME, USERS
from service.storage.errors import AlreadyExists
from service.storage.files.files import File
from service.storage.keys import Collection
from service.storage.records.write import Write
from service.storage.root import Storage


class Arrivals:
    """The arriving values and files of one extension in one environment."""

    def __init__(self, storage: Storage, client_id: str, environment: str) -> None:
        self._storage, self._client_id, self._environment = storage, client_id, environment

    def _place(self, scope: str, id: str, key: str) -> tuple[Collection, str]:
        return collection_of(scope, id), record_id(self._client_id, self._environment, key)

    async def value(self, scope: str, id: str, key: str) -> bytes | None:
        """Return the stored value; None if there is none."""
        found = await self._storage.records.find_current(*self._place(scope, id, key))
        return None if found is None else found.body

    async def store_value(self, scope: str, id: str, key: str, value: bytes) -> bool:
        """Store a value unless the key exists. Return True if it was stored."""
        collection, record = self._place(scope, id, key)
        if scope == USERS and is_public(key):  # linked first, as every public key is
            await self._storage.links.link(NAME, PUBLIC, record, [collection.name])
        try:
            await self._storage.records.create(Write(collection, record, id if scope == USERS else ""), value)
        except AlreadyExists:
            return False
        return True

    async def file(self, scope: str, id: str, key: str) -> bytes | None:
        """Return the MD5 of the stored file; None if there is none, or if it was not uploaded yet."""
        collection, record = self._place(scope, id, key)
        [reading] = await self._storage.files.read_many([collection], [record], "")
        filed = self._storage.files.filed(reading).get(record)
        return filed.file.md5 if filed is not None and filed.uploaded else None

    async def store_file(self, scope: str, id: str, key: str, name: str, type: str, content: bytes) -> bool:
        """Store a file unless the key exists. Return True if it was stored."""
        collection, record = self._place(scope, id, key)
        write = Write(collection, record, id if scope == USERS else "")
        digest = md5(content, usedforsecurity=False).digest()
        file = File(name, len(content), digest)
        try:
            generation = await self._storage.files.initiate_upload(write, file, create=True, overwrite=False)
        except AlreadyExists:
            if await self.file(scope, id, key) is not None:
                return False
            generation = await self._storage.files.initiate_upload(write, file, create=True, overwrite=True)
        await self._storage.files.upload(write, generation, _pieces(content), type, FILE_BYTES)
        return True


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content
