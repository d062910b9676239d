"""The root of storage: one object that composes the operations on each kind of data."""

from service.storage.access.grants import Grants
from service.storage.access.links import Links
from service.storage.access.rates import Rates
from service.storage.access.secret import Secret
from service.storage.files.areas import Areas
from service.storage.files.files import Files
from service.storage.journal.journal import Journal
from service.storage.records.batches import Batches
from service.storage.records.records import Records
from service.storage.records.scoped import Scoped
from service.storage.scripts.runner import Runner
from service.storage.variables.users import Users
from service.storage.variables.variables import Variables


class Storage:
    """The operations on each kind of data. `runner` sends their commands and scripts; no dialect uses it itself."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.grants, self.links, self.rates = Grants(runner), Links(runner), Rates(runner)
        self.secret = Secret(runner)
        self.records = Records(runner, self.grants)
        self.journal = Journal(runner)
        self.batches = Batches(runner, self.records)
        self.scoped = Scoped(runner, self.records, self.grants)
        self.files = Files(runner, self.grants, self.scoped)
        self.areas = Areas(runner)
        self.variables = Variables(runner)

    def users(self, dialect: str) -> Users:
        """Return the ids and display names of a dialect's users."""
        return Users(self.runner, dialect)
