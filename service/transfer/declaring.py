"""Imports declarations of an access document (entries, grants, links, passwords), and users with their numbers."""

from service.storage import keys
from service.storage.access.transfer import AccessTransfer
from service.storage.outcomes import Outcome
from service.storage.scripts.runner import Runner
from service.storage.variables.user_transfer import UserTransfer
from service.transfer.lines import Counter, EntryLine, GrantsLine, Line, LinksLine, PasswordLine, User


class Declaring:
    """The part of an import for declarations and users. Each of its steps is idempotent."""

    def __init__(self, runner: Runner, *, replace: bool) -> None:
        self._runner, self._replace = runner, replace
        self._access = AccessTransfer(runner)
        self._changed = False  # True if the caches of the workers are out of date

    async def restore(self, line: Line) -> tuple[list[Outcome], list[str]]:
        """Restore the declaration or user of one line; return the outcome and a name for messages, each in a list."""
        access, replace = self._access, self._replace
        match line:
            case EntryLine(dialect=dialect, kind=kind, id=id, value=value):
                outcome = await access.restore_entry(dialect, kind, id, value, replace=replace)
                name = f"{dialect} {kind} {id}"
            case LinksLine(dialect=dialect, kind=kind, id=id, members=members):
                outcome = await access.restore_links(dialect, kind, id, members)
                name = f"{dialect} links {kind} {id}"
            case GrantsLine(dialect=dialect, namespace=namespace, collection=place):
                collection = keys.collection(dialect, namespace, place, "")
                outcome = await access.restore_grants(collection, line.revision, line.verbs, replace=replace)
                name = f"{dialect} grants {namespace}/{place}"
            case User(dialect=dialect, name=user):
                users = UserTransfer(self._runner, dialect)
                outcome = await users.restore(user, line.number, line.display, replace=replace)
                name = f"{dialect} user {user}"
            case PasswordLine(dialect=dialect, user=user, digest=digest):
                outcome = await access.restore_password(dialect, user, digest, replace=replace)
                name = f"{dialect} password of {user}"
            case _:
                raise TypeError(line)
        self._changed = True
        return [outcome], [name]

    async def advance(self, line: Counter) -> None:
        """Raise the counter of a dialect, so that new numbers continue after the imported ones."""
        await UserTransfer(self._runner, line.dialect).advance(line.name, line.last)

    async def finish(self) -> None:
        """Make all workers clear their caches, if anything was declared."""
        if self._changed:
            await self._access.finish()
