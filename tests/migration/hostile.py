"""A hostile vendor: it throttles, fails, cuts connections, and carries out requests twice."""

from collections import Counter
from random import Random

from aiohttp import web
from multidict import CIMultiDict

from service.remote.client import Reply
from tests.remote.proxy import Forward

NOW = CIMultiDict({"Retry-After": "0"})
TROUBLES = ("throttled", "unavailable", "cut before", "cut behind", "repeated")


class Hostile:
    """The behaviour of a proxy that disturbs a share of the requests; `did` counts the disturbances."""

    def __init__(self, seed: int, share: float = 0.3) -> None:
        self._random, self._share = Random(seed), share
        self.did: Counter[str] = Counter()
        self.asked = 0

    async def __call__(self, request: web.Request, forward: Forward) -> Reply | None:
        self.asked += 1
        if self._random.random() >= self._share:
            return await forward()
        trouble = self._random.choice(TROUBLES)
        self.did[trouble] += 1
        if trouble == "throttled":
            return Reply(429, NOW, b'{"error": {"message": "too many requests"}}')
        if trouble == "unavailable":
            return Reply(503, NOW, b"<html>")
        if trouble == "cut before":
            return None
        reply = await forward()
        if trouble == "cut behind":
            return None
        await forward()
        return reply
