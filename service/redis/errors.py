"""Failures of a command. Each type tells the caller if the command may have had an effect.

Invariant: every failure of this package is one of these. Callers never see an exception of redis-py or hiredis.
"""


class Failed(Exception):
    """A command got no usable answer; the base of all failures."""


class NotSent(Failed):
    """The command changed nothing, so it may be sent again.

    Either it was not written because there was no connection before its deadline, or the server refused it until the
    deadline with an error of `pending.TRANSIENT`, or it was a read.
    """


class Unanswered(Failed):
    """A write was sent, perhaps only in part, and got no answer. It is unknown if it was executed."""


class Overloaded(Failed):
    """The lane already holds the largest number of commands or bytes, so the command was refused and not sent."""


class Rejected(Failed):
    """The server answered with an error.

    `word` is the first word of the error ("READONLY", "WRONGTYPE", or a word that a script uses for a refusal);
    `message` is the whole text, including that word.
    """

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word
        self.message = message


def rejected(text: str) -> Rejected:
    """Return the failure for an error reply. `text` is the reply without the leading `-`."""
    return Rejected(text.partition(" ")[0], text)
