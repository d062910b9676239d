"""Replays conversations against a running service. A test fails with all differences from the expected answers."""

from collections.abc import Mapping
from pathlib import Path

from aiohttp import ClientSession
from yarl import URL

from service.verification.comparison import differences
from service.verification.conversations import Exchange, filled, load


async def replay(path: Path, http: ClientSession, base: str, **known: str) -> None:
    """Replay a conversation. `known`: the values that its placeholders may name from the start."""
    for exchange in load(path):
        request = filled(exchange, known)
        url = URL(base + request.target, encoded=True)
        async with http.request(request.method, url, headers=request.headers, data=request.body) as answer:
            body = (await answer.read()).decode()
        judge(exchange, answer.status, answer.headers, body, known)


def judge(exchange: Exchange, status: int, headers: Mapping[str, str], body: str, known: dict[str, str]) -> None:
    """Fail unless the answer is as expected. Values that its placeholders name are added to `known`."""
    found = differences(exchange.answer, status, headers, body, known)
    assert found == [], f"{exchange.where}: {status} {dict(headers)} {body}"
