"""A walk over the ids of a collection, in the order of their creations."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from service.storage.keys import Collection
from service.storage.records.record import Listed

Page = Callable[..., Awaitable[tuple[int, list[Listed]]]]  # Records.page


async def walk(
    page: Page, collection: Collection, limit: int, behind: tuple[int, str] | None = None
) -> AsyncIterator[Sequence[Listed]]:
    """Return the records of a collection by creation and id, at most `limit` at a time.

    A record that exists during the whole walk is returned once. `behind`: only those after this time (us) and id.
    """
    more: dict[str, Any] = {} if behind is None else {"score": behind[0], "last": behind[1]}
    while True:
        _, listed = await page(collection, "c", 0, limit, **more)
        if listed:
            yield listed
        if not listed or not listed[-1].score:
            return
        more = {"score": listed[-1].score, "last": listed[-1].id}
