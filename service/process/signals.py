"""The wish to stop, as signals express it.

Invariant: SIGTERM asks for a drain first, as orchestrators send it while they still route requests here;
SIGINT, or asking twice, does not, because a person is waiting. SIGHUP, which a terminal sends when it is closed, often
more than once, drains like SIGTERM and never hurries; where it is ignored (nohup), it stays ignored.
"""

import asyncio
import signal


class Stop:
    """Installs the signal handlers: `asked` says that a signal came, `hurry` that there is no time to drain."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self.asked.set)

    def _terminate(self) -> None:
        if self.asked.is_set():
            self.hurry.set()
        self.asked.set()

    def _interrupt(self) -> None:
        self.hurry.set()
        self.asked.set()
