"""Signals that stop the service.

Invariant: SIGTERM drains first, because orchestrators send it while they still route requests here. SIGINT, or a second
SIGTERM, stops without draining, because a person is waiting. SIGHUP, which a terminal sends when it is closed, often
more than once, always drains. If SIGHUP is ignored at start (nohup), it stays ignored.
"""

import asyncio
import signal


class Stop:
    """Install the signal handlers. They set `asked` at a signal, and `hurry` if the drain must be skipped."""

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
