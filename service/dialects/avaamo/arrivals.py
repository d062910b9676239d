"""Stores variables and users of an agent from the vendor's own storage."""

from dataclasses import replace

from service.dialects.avaamo.parameters import NAME, NAME_CHARACTERS, agent_collection
from service.storage.access.directory import Directory
from service.storage.errors import AlreadyExists
from service.storage.root import Storage
from service.storage.variables.transfer import VariableTransfer
from service.storage.variables.variables import NUMBER, VALUE_BYTES, Filter, Variable


class Arrivals:
    """The arriving variables of one agent."""

    def __init__(self, storage: Storage, transfer: VariableTransfer, directory: Directory, agent: str) -> None:
        self._storage, self._transfer, self._directory = storage, transfer, directory
        self._collection = agent_collection(agent)

    @staticmethod
    def impossible(user: int, key: str, value: str) -> str:
        """Return the reason why a variable cannot be stored; "" if it can."""
        if not 0 <= user < NUMBER:
            return f"the number {user} of its user is too large"
        if not 0 < len(key) <= NAME_CHARACTERS:
            return f"its key must have 1 to {NAME_CHARACTERS} characters, not {len(key)}"
        if (size := len(value.encode())) > VALUE_BYTES:
            return f"its value must have at most {VALUE_BYTES} bytes in UTF-8, not {size}"
        return ""

    async def enroll(self, number: int, layer_id: str | None, display: str) -> bool:
        """Give a user its number and display name. Return False if the number belongs to another user.

        Without a layer id, the user is stored under a name that is unlikely to be a layer id, to reserve the number.
        """
        users, unnamed = self._storage.users(NAME), f"number {number}"
        shown = "" if display == f"User {number}" else display
        try:
            if layer_id is not None:
                await users.enroll(unnamed, None, "")
            await users.enroll(unnamed if layer_id is None else layer_id, number, shown)
        except AlreadyExists:
            return False
        return True

    async def announce(self) -> None:
        """Make running workers drop the users that they have cached."""
        await self._directory.invalidate()

    async def reserve(self, last: int) -> tuple[int, int]:
        """Reserve the ids of variables up to `last`. Return the first and the last of those that were free."""
        return await self._storage.variables.reserve(NAME, last)

    async def variable(self, user: int, key: str) -> Variable | None:
        """Return the stored variable."""
        return await self._storage.variables.recall(self._collection, "", user, key)

    async def store(self, came: Variable, before: Variable | None, *, free: bool) -> None:
        """Store a variable with its times, in place of an existing one, which keeps its id.

        A new variable keeps the id from the vendor if that is free; otherwise it gets the next id.
        """
        if before is not None:
            came = replace(came, id=before.id)
        elif not free:
            came = replace(came, id=await self._storage.variables.fresh_id(NAME))
        await self._transfer.restore_many([(self._collection, came)], replace=True)

    async def count(self) -> int:
        """Return the number of stored variables."""
        total, _ = await self._storage.variables.select(self._collection, "", Filter(), 0, 1)
        return total
