"""The wish to stop, as signals express it.

Invariant: SIGTERM asks for a drain first, as orchestrators send it while they still route requests here;
SIGINT, or asking twice, does not, because a person is waiting.
"""

import asyncio
import signal


class Stop:
    """Which of the two was asked for; listens from its making on."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def _terminate(self) -> None:
        if self.asked.is_set():
            self.hurry.set()
        self.asked.set()

    def _interrupt(self) -> None:
        self.hurry.set()
        self.asked.set()
