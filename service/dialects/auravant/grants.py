"""Computes and stores the grants of users, fields and farms from a stored access document.

The grants of a user come from the spaces and groups that the user belongs to, those of a field or farm from its own
entry. An apply takes a revision number, computes the grants of a resource from all declarations, and replaces them in
one step (storage/access/grants.py). So two documents that are applied at the same time do not undo each other.

Three kinds of links are the indexes (storage/access/links.py): the members of a space or group, including former
members whose grants were not updated yet; the spaces and groups of a user; the fields, farms and other users that a
user may read. A link is written before a grant is widened and removed after it was narrowed: there may be stale links,
never missing ones. After an interrupted apply, each resource is as before or as declared, and the next apply completes
the work.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any

from service.dialects.auravant.access import LEADERS, MEMBERS, USER, Access
from service.dialects.auravant.roles import ANYONE, FARMS, FIELDS, NAME, ROLES, USERS
from service.storage import keys
from service.storage.access.directory import Directory
from service.storage.access.grants import READ
from service.storage.root import Storage
from service.storage.scripts.fan_out import fan_out

CIRCLES = "circles"  # kind of the links from a user to the user's spaces and groups

Verbs = dict[str, str] | None  # verbs by subject; None: the resource is not declared
Pairs = Iterable[tuple[str, str]]  # the two ends of each link


def readable(scope: str) -> str:
    """Return the kind of the links from a user to the fields, farms or other users that the user may read."""
    return f"readable {scope}"


async def apply_grants(section: Access, directory: Directory, storage: Storage) -> None:
    """Store the grants of a section whose entries are written. It may be repeated. Raises Unavailable."""
    update = GrantsUpdate(directory, storage, await storage.grants.revise())
    circles = [*(space.name for space in section.spaces), *(group.name for group in section.groups)]
    await update.users({str(user.id) for user in section.people()}, circles)
    for scope, plots in ((FIELDS, section.fields), (FARMS, section.farms)):
        await update.plots(scope, [str(plot.id) for plot in plots])


class GrantsUpdate:
    """One apply of a section. A circle is a space or a group; circles are cached until a newer revision."""

    def __init__(self, directory: Directory, storage: Storage, revision: int) -> None:
        self._find = partial(directory.find_entry, NAME)
        self._storage, self._links = storage, storage.links
        self._revision = revision
        self._kept: dict[str, tuple[frozenset[str], dict[str, str]]] = {}

    async def users(self, users: set[str], circles: list[str]) -> None:
        """Update the grants of these users, and of all present and former members of these spaces and groups."""
        now: list[tuple[str, str]] = []
        before: list[tuple[str, str]] = []
        for circle in circles:
            members, _ = await self._circle(circle)
            now += ((circle, member) for member in members)
            before += ((circle, member) for member in await self._links.linked(NAME, MEMBERS, circle))
        await self._join(now, self._revision)
        circles_of = grouped((member, circle) for circle, member in now)

        async def update_user(user: str) -> list[tuple[str, str]]:
            return await self._user(user, circles_of.get(user, []))

        led = await fan_out(update_user, users | {member for _, member in (*now, *before)})
        await self._withdraw(readable(USERS), chain.from_iterable(led))
        gone = set(before) - set(now)
        await self._withdraw(CIRCLES, ((member, circle) for circle, member in gone))
        await self._withdraw(MEMBERS, gone)  # last: from these links the next apply learns whose grants to update

    async def _user(self, user: str, circles: list[str]) -> list[tuple[str, str]]:
        """Update the grants at one user, who belongs to these circles. Return the stale links of former leaders."""
        revision, led = self._revision, set[str]()

        async def again(latest: int) -> None:
            nonlocal revision
            revision = latest
            await self._join([(circle, user) for circle in circles], latest)

        async def verbs() -> Verbs:
            nonlocal led
            found = await self._led(user)
            led = set(found or ()) - {user, ANYONE}
            await self._link(readable(USERS), [(leader, user) for leader in led], revision)
            return found

        before = await self._settle(USERS, user, verbs, again)
        return [(leader, user) for leader in set(before) - led - {user, ANYONE}]

    async def plots(self, scope: str, ids: list[str]) -> None:
        """Update the grants of fields or farms."""
        roles = dict(zip(ids, await fan_out(partial(self._find, scope), ids), strict=True))
        readers = {
            id: [user for user, role in (found or {}).items() if READ in ROLES[scope][role]]
            for id, found in roles.items()
        }
        kind = readable(scope)
        await self._link(kind, ((user, id) for id in ids for user in readers[id]), self._revision)

        async def update_plot(id: str) -> list[tuple[str, str]]:
            again = partial(self._link, kind, [(user, id) for user in readers[id]])
            before = await self._settle(scope, id, partial(self._permitted, scope, id, roles), again)
            return [(user, id) for user in set(before) - set(readers[id])]

        await self._withdraw(kind, chain.from_iterable(await fan_out(update_plot, ids)))

    async def _settle(
        self, scope: str, id: str, verbs: Callable[[], Awaitable[Verbs]], again: Callable[[int], Awaitable[None]]
    ) -> list[str]:
        """Store the declared grants of one resource; return the subjects that had grants before.

        `again` writes this apply's links again, for a later revision if another apply has taken one meanwhile.
        """

        async def anew(latest: int) -> None:
            self._kept.clear()
            await again(latest)

        collection = keys.collection(NAME, scope, id, "")
        return await self._storage.grants.grant_declared(collection, verbs, self._revision, anew)

    async def _led(self, user: str) -> Verbs:
        """Return the verbs of each subject at a user; None if the user is not declared."""
        if await self._find(USER, user) is None:
            return None
        roles = ROLES[USERS]
        verbs = {user: roles["self"], ANYONE: roles["anyone"]}
        for circle in await self._links.linked(NAME, CIRCLES, user):
            members, leaders = await self._circle(circle)
            if user in members:
                for leader, role in leaders.items():
                    verbs[leader] = "".join(sorted({*verbs.get(leader, ""), *roles[role]}))
        return verbs

    async def _permitted(self, scope: str, id: str, known: dict[str, Any]) -> Verbs:
        """Return the verbs of each subject at a field or farm. An entry in `known` is used once, then read again."""
        found = known.pop(id) if id in known else await self._find(scope, id)
        return None if found is None else {user: ROLES[scope][role] for user, role in found.items()}

    async def _circle(self, circle: str) -> tuple[frozenset[str], dict[str, str]]:
        """Return the members of a space or group, and the roles of its leaders."""
        if circle not in self._kept:
            members, leaders = await self._find(MEMBERS, circle), await self._find(LEADERS, circle)
            self._kept[circle] = frozenset(members["ids"] if members else ()), leaders or {}
        return self._kept[circle]

    async def _join(self, pairs: Pairs, revision: int) -> None:
        """Link circles and members in both directions."""
        pairs = list(pairs)
        await self._link(MEMBERS, pairs, revision)
        await self._link(CIRCLES, ((member, circle) for circle, member in pairs), revision)

    async def _link(self, kind: str, pairs: Pairs, revision: int) -> None:
        async def link(item: tuple[str, list[str]]) -> None:
            await self._links.link(NAME, kind, *item, revision)

        await fan_out(link, grouped(pairs).items())

    async def _withdraw(self, kind: str, pairs: Pairs) -> None:
        async def withdraw(item: tuple[str, list[str]]) -> None:
            await self._links.withdraw(NAME, kind, *item, self._revision)

        await fan_out(withdraw, grouped(pairs).items())


def grouped(pairs: Pairs) -> dict[str, list[str]]:
    """Group the second ends of links by their first ends."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for id, member in pairs:
        found[id].append(member)
    return found
