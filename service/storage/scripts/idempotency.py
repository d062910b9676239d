"""A request that is carried out once, however often it is repeated, as operations are given it (`idempotency`)."""

from collections.abc import Iterable
from hashlib import blake2b
from uuid import UUID


class Idempotency:
    """A request with a key.

    `who` are its caller and its key, in as many texts as that takes; `what` is what it asks for, but for what may be
    different when somebody takes the key for something else: that is in `how`, and in the body, added as it arrives.
    """

    def __init__(self, who: Iterable[str], what: Iterable[str], how: Iterable[str]) -> None:
        asked = _joined(what)
        self.digest = _digest(_joined(who)).hexdigest()
        self.remark = b""  # what the worker knows of the write, and Redis does not: it is kept with the reply
        self.whole = False  # has the body arrived? Only then it is known whether it is the same request
        self._asked = asked
        self._said = _digest(asked + _joined(how))

    def id(self, secret: bytes) -> str:
        """A UUID for what the request makes, 32 hexadecimal digits: the same one when the request is repeated, and
        nobody can compute it who does not know the secret (at most 64 bytes)."""
        made = blake2b(self.digest.encode() + self._asked, key=secret, digest_size=16)
        return UUID(bytes=made.digest(), version=4).hex

    def add(self, piece: bytes) -> None:
        """A piece of the body."""
        self._said.update(piece)

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that tell this request from others with its key, once its body has arrived."""
        return self._said.digest()


def _joined(texts: Iterable[str]) -> bytes:
    """Texts as bytes, different for different texts. Those from HTTP may have bytes in them that are no UTF-8."""
    encoded = [text.encode(errors="surrogateescape") for text in texts]
    return b"%d;" % len(encoded) + b"".join(b"%d:%b" % (len(text), text) for text in encoded)


def _digest(said: bytes) -> blake2b:
    """128 bits: two texts that have the same are nowhere, and cannot be made."""
    return blake2b(said, digest_size=16)
