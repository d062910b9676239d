"""The identity of a request with an idempotency key. Such a request is carried out once, also if it is repeated."""

from collections.abc import Iterable
from hashlib import blake2b
from uuid import UUID


class Idempotency:
    """A request with an idempotency key.

    `who` identifies the caller and the key. `what` is the request's target. `how` is the rest of the request
    except its body, which is added as it arrives. Two requests with one `who` are the same request if all the
    rest is equal.
    """

    def __init__(self, who: Iterable[str], what: Iterable[str], how: Iterable[str]) -> None:
        asked = _joined(what)
        self.digest = _digest(_joined(who)).hexdigest()
        self.remark = b""  # facts about the write that only the worker knows; stored with the reply
        self.whole = False  # True if the whole body has arrived, so that the request can be compared
        self._asked = asked
        self._said = _digest(asked + _joined(how))

    def id(self, secret: bytes) -> str:
        """Return a UUID for the object that the request creates: 32 hexadecimal digits, the same for a repeated
        request.

        It cannot be computed without the secret (at most 64 bytes).
        """
        made = blake2b(self.digest.encode() + self._asked, key=secret, digest_size=16)
        return UUID(bytes=made.digest(), version=4).hex

    def add(self, piece: bytes) -> None:
        """Add a piece of the body."""
        self._said.update(piece)

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that distinguish this request from others with its key, once the body has arrived."""
        return self._said.digest()


def _joined(texts: Iterable[str]) -> bytes:
    """Encode texts so that different texts have different bytes. Texts from HTTP may hold bytes that are not
    UTF-8.
    """
    encoded = [text.encode(errors="surrogateescape") for text in texts]
    return b"%d;" % len(encoded) + b"".join(b"%d:%b" % (len(text), text) for text in encoded)


def _digest(said: bytes) -> blake2b:
    """Return a digest of 128 bits, without collisions in practice."""
    return blake2b(said, digest_size=16)
