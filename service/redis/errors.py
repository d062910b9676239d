"""Failures of a command, each named for what its caller may conclude.

Invariant: every failure of this layer is one of these; callers never see an exception of redis-py or hiredis.
"""


class Failed(Exception):
    """A command got no usable answer."""


class NotSent(Failed):
    """The command surely changed nothing: it may be repeated as it is.

    Either it was never written (no connection within its deadline), or the server refused it until the
    deadline with a word of `pending.TRANSIENT`, or it was a read.
    """


class Unanswered(Failed):
    """A write was sent, perhaps only in part, and got no answer: whether it was executed is unknown."""


class Overloaded(Failed):
    """The lane holds as many commands or bytes as it may: refused at once, nothing was sent."""


class Rejected(Failed):
    """The server answered with an error.

    `word` is the error's first word ("READONLY", "WRONGTYPE", or what a script refuses with);
    `message` is the whole text, from that word on.
    """

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word
        self.message = message


def rejected(text: str) -> Rejected:
    """The failure for an error reply, from its text without the leading `-`."""
    return Rejected(text.partition(" ")[0], text)
