"""Grants that follow from a stored access document: what each token may do on which agent; and the declared users.

An agent's grants are computed anew from the entries of all tokens that are linked to it, after a revision was taken,
and replace the earlier ones in one step (storage/access/grants.py). Two links serve as indexes, each a superset
(storage/access/links.py): the agents of a token and the tokens of an agent. They are made before a grant is widened
and taken back after it was narrowed, so the next document sees to what one that stopped half way has left.
"""

from collections.abc import Iterable
from functools import partial

from service.dialects.avaamo.access import AGENT, PERMISSIONS, Access, User
from service.dialects.avaamo.parameters import NAME, agent
from service.storage.access.directory import Directory
from service.storage.access.grants import READ, WRITE
from service.storage.errors import AlreadyExists
from service.storage.root import Storage
from service.storage.scripts.fan_out import fan_out

VERBS = {"edit": READ + WRITE, "view": READ}
AGENTS, TOKENS = "agents", "tokens"  # kinds of links: the agents of a token, the tokens of an agent


async def apply_grants(section: Access, directory: Directory, storage: Storage) -> None:
    """Grant what follows from a section whose entries are written, and declare its users. Safe to repeat.

    Raises AlreadyExists where a user's number is another's, Unavailable.
    """
    following = Following(directory, storage, await storage.grants.revise())
    await following.tokens(
        {token.subject: set(token.permissions) for token in section.tokens}, {str(each.id) for each in section.agents}
    )
    users = storage.users(NAME)

    async def enroll(numbered: tuple[int, User]) -> None:
        index, user = numbered
        try:
            await users.enroll(str(user.layer_id), user.number, user.display_name)
        except AlreadyExists:
            raise AlreadyExists(f"users[{index}].id: another user has this number") from None

    await fan_out(enroll, enumerate(section.users))


class Following:
    """One apply; a token goes by its subject, an agent by its id."""

    def __init__(self, directory: Directory, storage: Storage, revision: int) -> None:
        self._find = partial(directory.find_entry, NAME)
        self._grants, self._links = storage.grants, storage.links
        self._revision = revision

    async def tokens(self, now: dict[str, set[str]], agents: set[str]) -> None:
        """Grant anew on these agents, and on all that tokens have now, or had."""
        subjects = list(now)
        linked = await fan_out(partial(self._links.linked, NAME, AGENTS), subjects)
        before = dict(zip(subjects, map(set, linked), strict=True))
        for subject, ids in now.items():
            await self._link(subject, ids, self._revision)
        affected = list(agents.union(*now.values(), *before.values()))
        granted = dict(zip(affected, await fan_out(partial(self._grant, now), affected), strict=True))
        for subject, ids in now.items():
            await self._withdraw(subject, [id for id in before[subject] - ids if subject not in granted[id]])

    async def _grant(self, now: dict[str, set[str]], id: str) -> set[str]:
        """Grant on an agent what is declared, and return the subjects that were granted something.

        They may differ from this apply's own section: another apply may have declared a token since. Its links must
        not be withdrawn. Links that others withdrew for a later revision are made again.
        """
        granted = set[str]()

        async def verbs() -> dict[str, str] | None:
            nonlocal granted
            found = await self._verbs(id)
            granted = set(found or ())
            return found

        async def again(revision: int) -> None:
            for subject in (each for each, ids in now.items() if id in ids):
                await self._link(subject, (id,), revision)

        await self._grants.grant_declared(agent(id), verbs, self._revision, again)
        return granted

    async def _verbs(self, id: str) -> dict[str, str] | None:
        """Return the verbs of each token on an agent; None if the agent is not declared."""
        if await self._find(AGENT, id) is None:
            return None
        subjects = await self._links.linked(NAME, TOKENS, id)
        found = await fan_out(partial(self._find, PERMISSIONS), subjects)
        return {
            subject: VERBS[permissions[id]]
            for subject, permissions in zip(subjects, found, strict=True)
            if permissions and id in permissions
        }

    async def _link(self, subject: str, ids: Iterable[str], revision: int) -> None:
        """Both ways."""
        ids = list(ids)
        await self._links.link(NAME, AGENTS, subject, ids, revision)
        await fan_out(lambda id: self._links.link(NAME, TOKENS, id, [subject], revision), ids)

    async def _withdraw(self, subject: str, ids: Iterable[str]) -> None:
        ids = list(ids)
        await fan_out(lambda id: self._links.withdraw(NAME, TOKENS, id, [subject], self._revision), ids)
        await self._links.withdraw(NAME, AGENTS, subject, ids, self._revision)
