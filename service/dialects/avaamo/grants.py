"""Computes and stores the grants of tokens on agents from a stored access document, and declares its users.

An apply takes a revision number, computes an agent's grants from the entries of all tokens that are linked to it, and
replaces them in one step (storage/access/grants.py). Two kinds of links are the indexes (storage/access/links.py):
the agents of a token and the tokens of an agent. A link is written before a grant is widened and removed after it was
narrowed: there may be stale links, never missing ones. The next apply completes the work of an interrupted one.
"""

from collections.abc import Iterable
from functools import partial

from service.dialects.avaamo.access import AGENT, PERMISSIONS, Access, User
from service.dialects.avaamo.parameters import NAME, agent_collection
from service.storage.access.directory import Directory
from service.storage.access.grants import READ, WRITE
from service.storage.errors import AlreadyExists
from service.storage.root import Storage
from service.storage.scripts.fan_out import fan_out

VERBS = {"edit": READ + WRITE, "view": READ}
AGENTS, TOKENS = "agents", "tokens"  # kinds of links: the agents of a token, the tokens of an agent


async def apply_grants(section: Access, directory: Directory, storage: Storage) -> None:
    """Store the grants of a section whose entries are written, and declare its users. It may be repeated.

    Raises AlreadyExists if a user's number belongs to another user, Unavailable.
    """
    update = GrantsUpdate(directory, storage, await storage.grants.revise())
    await update.tokens(
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


class GrantsUpdate:
    """One apply of a section. Tokens are identified by their subjects, agents by their ids."""

    def __init__(self, directory: Directory, storage: Storage, revision: int) -> None:
        self._find = partial(directory.find_entry, NAME)
        self._grants, self._links = storage.grants, storage.links
        self._revision = revision

    async def tokens(self, now: dict[str, set[str]], agents: set[str]) -> None:
        """Update the grants of these agents, and of all agents that the tokens have now or had before."""
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
        """Store the declared grants of an agent. Return the subjects that have grants now.

        They may differ from this apply's own section: another apply may have declared a token meanwhile, whose links
        must not be removed. Links that another apply has removed for a later revision are written again.
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

        await self._grants.grant_declared(agent_collection(id), verbs, self._revision, again)
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
        """Link a token and agents in both directions."""
        ids = list(ids)
        await self._links.link(NAME, AGENTS, subject, ids, revision)
        await fan_out(lambda id: self._links.link(NAME, TOKENS, id, [subject], revision), ids)

    async def _withdraw(self, subject: str, ids: Iterable[str]) -> None:
        ids = list(ids)
        await fan_out(lambda id: self._links.withdraw(NAME, TOKENS, id, [subject], self._revision), ids)
        await self._links.withdraw(NAME, AGENTS, subject, ids, self._revision)
