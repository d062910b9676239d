"""A walk over the ids of a collection, in the order of an index."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from service.storage.keys import Collection
from service.storage.records.record import Listed

Page = Callable[..., Awaitable[tuple[int, list[Listed]]]]  # Records.page


async def walk(
    page: Page, collection: Collection, kind: str, limit: int, behind: str = ""
) -> AsyncIterator[Sequence[Listed]]:
    """Return the records of a collection in the order of the index `kind`, "c" or "n", at most `limit` at a time.

    A record that exists during the whole walk is returned once; by "n" also one that is deleted and created again.
    `behind`: only the ids after this one, in the index "n".
    """
    more: dict[str, Any] = {"score": "0", "last": behind} if behind else {}
    while True:
        _, listed = await page(collection, kind, 0, limit, **more)
        if listed:
            yield listed
        if not listed or not listed[-1].score:
            return
        more = {"score": listed[-1].score, "last": listed[-1].id}
