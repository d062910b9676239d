"""Which request is being answered, if it is one that is carried out once, however often it is repeated.

It is known to the task that answers it (a context variable), so that no operation has to hand it on: `Runner.send` asks
when it sends the script that commits a write, `repeatable` before an operation that writes.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from uuid import NAMESPACE_OID, uuid4, uuid5


class Once:
    """A request with a key.

    `who` are its caller and its key, in as many texts as that takes; `what` is what it asks for, but for what may be
    different when somebody takes the key for something else: that is in `how`, and in the body, added as it arrives.
    """

    def __init__(self, who: Iterable[str], what: Iterable[str], how: Iterable[str]) -> None:
        asked = _joined(what)
        self.digest = _digest(_joined(who)).hexdigest()
        self.id = uuid5(NAMESPACE_OID, _digest(self.digest.encode() + asked).hexdigest()).hex
        self.remark = b""  # what the worker knows of the write, and Redis does not: it is kept with the reply
        self.whole = False  # has the body arrived? Only then it is known whether it is the same request
        self._said = _digest(asked + _joined(how))

    def add(self, piece: bytes) -> None:
        """A piece of the body."""
        self._said.update(piece)

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that tell this request from others with its key, once its body has arrived."""
        return self._said.digest()


_asked: ContextVar[Once | None] = ContextVar("once", default=None)

asked = _asked.get  # the request that is being answered here; None where it may be carried out again


@contextmanager
def during(once: Once | None) -> Iterator[None]:
    """While this request is being answered; None: what is done here may be done again."""
    token = _asked.set(once)
    try:
        yield
    finally:
        _asked.reset(token)


def fresh_id() -> str:
    """An id for what is new, 32 hexadecimal digits; the same one when the request is repeated."""
    once = asked()
    return uuid4().hex if once is None else once.id


def _joined(texts: Iterable[str]) -> bytes:
    """Texts as bytes, different for different texts. Those from HTTP may have bytes in them that are no UTF-8."""
    encoded = [text.encode(errors="surrogateescape") for text in texts]
    return b"%d;" % len(encoded) + b"".join(b"%d:%b" % (len(text), text) for text in encoded)


def _digest(said: bytes) -> blake2b:
    """128 bits: two texts that have the same are nowhere, and cannot be made."""
    return blake2b(said, digest_size=16)
