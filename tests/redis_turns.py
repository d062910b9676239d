"""Prepares a turn of Redis's event loop in which replies are sent before the file is written.

Redis is busy with one script while a turn is prepared, and with a second one in this turn.
"""

import socket

from service.redis.wire import pack
from tests.servers import RedisProcess

LONG = 240_000  # bytes: more than a socket takes, by less than Redis sends in one turn
BUSY = "for i = 1, 20000000 do end"  # 0.1 s
RECEIVE_SECONDS = 60.0  # much longer than any reply takes on a slow machine
A_MOMENT = 0.03  # seconds, in which Redis begins what it was sent; if it does not, the test is easier to pass


class Client:
    """A connection on which commands are sent before their replies are read."""

    def __init__(self, redis: RedisProcess) -> None:
        # On a slow machine BUSY may take five seconds. Redis would then answer other commands with an error.
        redis.command("CONFIG", "SET", "busy-reply-threshold", 0)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(RECEIVE_SECONDS)
        self.socket.connect(str(redis.socket))

    def close(self) -> None:
        self.socket.close()

    def send(self, *command: str | bytes) -> None:
        self.socket.sendall(pack(command))

    def keep_busy(self) -> None:
        self.send("EVAL", BUSY, "0")

    def receive_what_is_there(self) -> None:
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65_536):
                pass
        except BlockingIOError:
            self.socket.settimeout(RECEIVE_SECONDS)

    def receive(self, ending: bytes) -> None:
        """Receive until a reply ends so. Fail if the server closes the connection or answers with an error."""
        received = b""
        while not received.endswith(ending):
            piece = self.socket.recv(65_536)
            assert piece, "Redis closed the connection"
            received += piece
            last = received.rstrip(b"\r\n").rpartition(b"\n")[2]
            assert not last.startswith(b"-"), last
