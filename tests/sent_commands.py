"""Records the commands that a service sends to its Redis, by Redis's MONITOR."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.running import Running

END = "the last command that is looked at"


@contextmanager
def sent_commands(running: Running, mark: str) -> Iterator[list[str]]:
    """Collect the names of the commands that contain `mark`, in order, without those that scripts run."""
    sent: list[str] = []
    with running.redis as client, running.redis as marker, client.monitor() as monitor:
        yield sent
        marker.echo(END)
        for seen in monitor.listen():
            if END in seen["command"]:
                break
            if seen["client_type"] != "lua" and mark in seen["command"]:
                sent.append(seen["command"].split(" ")[0].upper())
