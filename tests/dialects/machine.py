"""The base of the models of all dialects.

A model has a service of its own, to which it sends requests. Its Redis is killed, and its functions are flushed. At the
end of each run, fsck must find nothing.
"""

import asyncio
import json
from abc import abstractmethod
from http.client import HTTPConnection
from typing import ClassVar

from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from multidict import CIMultiDict

from service.storage.fsck import check as fsck
from tests.http_client import Reply
from tests.lengths import either, some
from tests.running import Running, eventually

STEPS = 30
COSTLY = either(4, 12)  # restarts and other steps that take up to a second, in all examples of a run together


class Machine(RuleBasedStateMachine):
    """A model of a dialect. `costly`: number of costly steps that are left for all examples together.

    When none is left, a costly step does nothing. This is not a precondition of the step: Hypothesis would then draw
    other steps when it repeats an example, and would report that instead of the failure.
    """

    running: ClassVar[Running]
    costly: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.http = connection(self.running.url)

    @abstractmethod
    def serves(self) -> bool:
        """Return True if the service answers a read as it does while Redis runs."""

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Reply:
        """Send a request and return the answer. In names of headers, `_` stands for `-`."""
        return self.send(method, target, body, {name.replace("_", "-"): text for name, text in headers.items()})

    def send(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        self.http.request(method, target, body, headers)
        got = self.http.getresponse()
        return Reply(got.status, CIMultiDict(got.getheaders()), got.read())

    def declare(self, **sections: object) -> None:
        """Apply an access document."""
        admin = connection(self.running.ops_url)
        admin.request(
            "PUT", "/admin/access", json.dumps(sections), {"Authorization": f"Bearer {self.running.admin_token}"}
        )
        answer = admin.getresponse()
        assert answer.status == 200, answer.read()
        admin.close()

    @rule()
    def flush_scripts(self) -> None:
        with self.running.redis as redis:
            redis.function_flush("SYNC")

    def can_afford(self) -> bool:
        """Count a costly step. Return False if none is left."""
        type(self).costly -= 1
        return type(self).costly >= 0

    @rule()
    def kill_redis(self) -> None:
        if self.can_afford():
            self.running.kill_redis()
            eventually(self.serves)

    def teardown(self) -> None:
        self.http.close()
        told: list[str] = []
        url = f"unix://{self.running.data_dir / 'redis.sock'}"
        assert asyncio.run(fsck.run(url, repair=False, out=told.append)) == 0, told


def connection(url: str) -> HTTPConnection:
    host, _, port = url.removeprefix("http://").partition(":")
    return HTTPConnection(host, int(port))


def try_out(machine: type[Machine], running: Running, *, costly: int = COSTLY) -> None:
    """Run the machine with many examples. Fail if the service differs from the model."""
    machine.running, machine.costly = running, costly
    few = some(8, 30, stateful_step_count=STEPS)
    run_state_machine_as_test(machine, settings=few)
