"""Followers of a feed miss no change and get none twice, whatever fails."""

import asyncio
from random import Random

import pytest
from aiohttp import ClientSession

from tests.dialects.ainoflow.client import open_project
from tests.dialects.ainoflow.events import keep_journal
from tests.dialects.ainoflow.following import followed
from tests.effort import either
from tests.faults.faults import kill_redis, kill_worker, reset
from tests.faults.stand import Stand, standing

JOURNAL = {"entries": 1_000_000}


async def harm(stand: Stand, seconds: float) -> None:
    """Kill Redis and workers, and break all connections between them, in turn."""
    random, loop = Random(21), asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        for fault in (reset, kill_worker, kill_redis):
            await asyncio.sleep(random.uniform(0.2, 0.5))
            await fault(stand, random)


@pytest.mark.long
async def test_no_fault_hides_doubles_or_reorders_a_change_for_a_follower(http: ClientSession) -> None:
    async with standing() as stand:
        project = await open_project(stand.service, http)
        await keep_journal(project, **JOURNAL)
        print(await followed(project, harm(stand, either(3, 10))))
