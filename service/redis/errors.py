"""How a command can fail, each failure named for what its caller may conclude.

Invariant: every failure of this layer is one of these; callers never see an exception of redis-py or hiredis.
"""

import re

# Redis 6.2 wraps what a command inside a script answered; 7.0 sends the word first. Callers see one form.
IN_SCRIPT = re.compile(r"ERR Error running script \(call to f_\w+\): (?:@user_script: ?\d+: )+-?(?=[A-Z]{2,} )")


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

    `word` is the error's first word ("NOSCRIPT", "WRONGTYPE", or what a script refuses with);
    `message` is the whole text, from that word on.
    """

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word
        self.message = message


def rejected(text: str) -> Rejected:
    """The failure for an error reply, from its text without the leading `-`."""
    wrapped = IN_SCRIPT.match(text)
    message = text[wrapped.end() :] if wrapped else text
    return Rejected(message.partition(" ")[0], message)
