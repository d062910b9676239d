"""Tests the link: a report arrives completely or not at all, and each side notices the end of the other."""

import asyncio
import socket

import pytest

from service.process import link


async def received(*pieces: bytes) -> list[link.Report]:
    reader = asyncio.StreamReader()
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    return [report async for report in link.reports(reader)]


async def test_reports_arrive_in_order_wherever_they_are_cut() -> None:
    stream = link.frame({"ready": True, "metrics": {"n": 1}}) + link.frame({"ready": False, "metrics": {}})
    whole = await received(stream)
    assert whole == [{"ready": True, "metrics": {"n": 1}}, {"ready": False, "metrics": {}}]
    assert await received(*(bytes([byte]) for byte in stream)) == whole


async def test_a_report_that_its_sender_did_not_finish_is_dropped() -> None:
    stream = link.frame({"ready": True, "metrics": {}})
    assert await received(stream + stream[:-1]) == [{"ready": True, "metrics": {}}]
    assert await received(stream[:2]) == []


async def test_a_report_over_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="report has 4294967295 bytes"):
        await received(b"\xff\xff\xff\xff")


async def test_the_end_of_one_side_is_noticed_by_the_other() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await link.connect(ours)
    theirs.send(link.frame({"ready": True, "metrics": {}})[:3])
    theirs.close()
    assert [report async for report in link.reports(reader)] == []
    writer.close()
