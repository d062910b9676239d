"""The secret of this installation: random bytes in Redis, from which ids are derived that others cannot compute."""

from secrets import token_bytes

from service.storage import keys
from service.storage.scripts.runner import Runner

SECRET_BYTES = 32


class Secret:
    """The secret, read once by each worker."""

    def __init__(self, runner: Runner) -> None:
        self._command = runner.command
        self._secret = b""

    async def read(self) -> bytes:
        """Return the secret; create it if there is none."""
        if not self._secret:
            await self._command("SET", keys.SECRET, token_bytes(SECRET_BYTES), "NX", key=keys.SECRET, write=True)
            self._secret = await self._command("GET", keys.SECRET, key=keys.SECRET)
        return self._secret
