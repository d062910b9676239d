"""Applies sections of the access document directly to a Redis, and reads the grants there."""

import json
from typing import Any

from service.dialects import discover
from service.operations.access import apply
from service.storage import keys
from service.storage.access.directory import Directory
from service.storage.root import Storage
from service.storage.scripts.runner import Runner
from tests.servers import RedisProcess


class Applying:
    """Applies sections in the same way as the command line."""

    def __init__(self, server: RedisProcess) -> None:
        self.server = server
        self.runner = Runner.open(server.url)
        self.redis = self.runner.redis
        self.storage = Storage(self.runner)

    async def apply(self, **section: Any) -> None:
        await apply(Directory(self.runner), self.storage, json.dumps({"auravant": section}), discover())

    def granted(self, scope: str, id: str) -> dict[str, str] | None:
        """Return the verbs of each subject, or None if the resource is not declared."""
        found = self.server.command("HGETALL", keys.collection("auravant", scope, id, "").acl)
        verbs = {subject.decode(): "".join(sorted(value.decode())) for subject, value in found.items()}
        revision = verbs.pop("", "-")
        return None if "-" in revision else verbs

    def leaders(self, user: str) -> dict[str, str]:
        """Return the grants that others have at a user."""
        verbs = self.granted("users", user)
        assert verbs is not None
        assert (verbs.pop(user), verbs.pop("*")) == ("drw", "r")
        return verbs

    async def linked(self, kind: str, id: str) -> list[str]:
        return await self.storage.links.linked("auravant", kind, id)
