"""Migration of the variables of an Avaamo agent, into this service.

The vendor lists variables newest first. A variable that is set during the migration moves to the front and moves others
to later pages. So all pages are read in order, and again if a pass has met fewer or more variables than the vendor
counts. If both sides have a variable with different values, the one that was updated last is kept.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from service.migration.agent_storage import AgentStorage, Page, Row
from service.migration.outcome import Agreement, Outcome, Refused
from service.migration.state import State
from service.storage.variables.variables import Variable

PASSES = 3
STALE_PAGES = 3  # pages in a row without a new variable are an error; one can be due to variables set meanwhile
CANNOT = (
    "Avaamo's API does not list tokens and permissions: declare them in the access document. It does not list layer "
    "ids either: name them in the file of --users. Variables keep their values, users and times."
)


class Arrivals(Protocol):
    """The part of the dialect that reads and writes what is migrated (`service.dialects.avaamo.arrivals`)."""

    def impossible(self, user: int, key: str, value: str) -> str: ...
    async def enroll(self, number: int, layer_id: str | None, display: str) -> bool: ...
    async def announce(self) -> None: ...
    async def reserve(self, last: int) -> tuple[int, int]: ...
    async def variable(self, user: int, key: str) -> Variable | None: ...
    async def store(self, came: Variable, before: Variable | None, *, free: bool) -> None: ...
    async def count(self) -> int: ...


class Arrival:
    """The migration of the variables of one agent from the vendor to this service."""

    def __init__(
        self,
        vendor: AgentStorage,
        here: Arrivals,
        layer_ids: Mapping[int, str],
        state: State,
        outcome: Outcome,
        progress: Callable[[int], object],
    ) -> None:
        self._vendor, self._here, self._layer_ids = vendor, here, layer_ids
        self._state, self._outcome, self._progress = state, outcome, progress
        self._users: dict[int, bool] = {}  # number of a user -> True if the user has this number here, too
        self._agreement = Agreement("variables", 0, 0)

    async def run(self) -> None:
        """Bring all variables."""
        part = self._state.part("variables")
        free = await self._reserve()
        for _ in range(PASSES):
            if part.done:
                break
            seen, resumed = set[int](), bool(part.position)
            async for page, found in self._pages(*part.numbers(1)):
                for row in found.storage:
                    seen.add(row.id)
                    await self._bring(row, free)
                self._progress(len(found.storage))
                part.position = str(page + 1)
                self._state.save()
            part.position, part.done = "", resumed or len(seen) == found.total_entries
            self._state.save()
        for number in self._layer_ids:
            await self._known(number, f"User {number}")
        await self._here.announce()
        self._agreement.there = (await self._vendor.page(1)).total_entries
        self._agreement.here = await self._here.count()
        self._outcome.agreements.append(self._agreement)

    async def _pages(self, page: int) -> AsyncIterator[tuple[int, Page]]:
        """Yield this page and all after it, with their numbers. Raises Refused if the vendor repeats pages."""
        pages, seen, stale = page, set[int](), 0
        while page <= pages:
            found = await self._vendor.page(page)
            ids = {row.id for row in found.storage}
            stale = stale + 1 if ids <= seen else 0
            if stale == STALE_PAGES:
                raise Refused(f"the last {stale} pages have no variable that was not on a page before")
            seen |= ids
            yield page, found
            page, pages = page + 1, found.total_pages if found.storage else 0

    async def _reserve(self) -> tuple[int, int]:
        """Reserve the ids of the vendor's variables. Return the first and the last id that were still free here."""
        part = self._state.part("ids")
        if not part.position:
            last = 0
            async for _, found in self._pages(1):
                last = max([last, *(row.id for row in found.storage)])
            first, last = await self._here.reserve(last)
            part.position = f"{first} {last}"
            self._state.save()
        first, last = part.numbers(0, 0)
        return first, last

    async def _bring(self, row: Row, free: tuple[int, int]) -> None:
        came = row.variable
        user, key, value = came.user, came.key, came.value
        if reason := self._here.impossible(user, key, value):
            self._outcome.trouble(f"variable {row.id}: {reason}")
            return
        if row.user is not None and not await self._known(row.user.id, row.user.display_name):
            return
        before = await self._here.variable(user, key)
        if before is not None and before.value == value:
            self._outcome.counts["present"] += 1
        elif before is not None and before.updated >= came.updated:
            self._outcome.trouble(
                f"variable {row.id}: the value of {key} of user {user} in Polystow is newer and was kept"
            )
        else:
            await self._here.store(came, before, free=free[0] <= row.id <= free[1])
            self._outcome.counts["replaced" if before else "stored"] += 1
        after = await self._here.variable(user, key)
        self._agreement.compared += 1
        self._agreement.equal += after is not None and after.value == value

    async def _known(self, number: int, display: str) -> bool:
        """Enroll a user who appears for the first time. Return False if the number belongs to another user here."""
        if number not in self._users:
            self._users[number] = await self._here.enroll(number, self._layer_ids.get(number), display)
            if not self._users[number]:
                self._outcome.trouble(
                    f"the number {number} belongs to another user in Polystow; variables of {display} are left out"
                )
        return self._users[number]
