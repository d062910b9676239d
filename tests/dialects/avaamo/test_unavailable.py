"""Tests a service whose Redis does not answer: 503 in the vendor's format; afterwards everything works again."""

from collections.abc import Callable

from aiohttp import ClientSession

from tests.dialects.avaamo.client import Client, global_storage, open_agent, set_storage, storages
from tests.running import Running, paused, soon


def asked(agent: Client) -> list[tuple[str, str, bytes | None]]:
    one = global_storage("g", bot_id=agent.agent)
    setting = b'{"key":"k","value":"v","bot_id":%d}' % agent.agent
    return [
        ("GET", storages(agent.agent), None),
        ("GET", storages(agent.agent, user_id=1, key="k"), None),
        ("POST", set_storage("u"), setting),
        ("POST", set_storage("unknown"), setting),
        ("PUT", one, b'{"value":"v"}'),
        ("GET", one, None),
        ("DELETE", one, None),
        ("POST", f"/dashboard/agents/{agent.agent}/clear_data.json", b'{"data_types":["storage_data"]}'),
    ]


async def test_without_redis_requests_get_503_and_afterwards_they_work_again(
    serve: Callable[..., Running], http: ClientSession
) -> None:
    agent = await open_agent(serve(request_timeout=0.5), http)
    await agent.set("u", "k", "v")
    with paused(agent.running.redis_pid()):
        for method, target, body in asked(agent):
            reply = await agent.ask(method, target, body)
            reply.refused(503)
            assert int(reply.headers["Retry-After"]) >= 1

    async def works() -> bool:
        return (await agent.ask("POST", set_storage("u"), asked(agent)[2][2])).status == 200

    await soon(works)
    assert ("k", "v") in await agent.pairs()
