"""Makes bodies that arrive piece by piece, and reads the parts that are stored in Redis."""

import asyncio
from collections.abc import AsyncIterator

from service.storage import keys
from service.storage.files.areas import Area, Areas, Limits, Part
from service.storage.files.blobs import CHUNK_BYTES
from service.storage.records.write import Write
from tests.storage.keyspace import ME, Keyspace

AREA = keys.collection("genesys", "", "39a98e24-b03b-4191-b756-1efe8f3b16b8", "")
RECORD = AREA.attachment("")
ROOMY = Limits(keys=1000, bytes=100 * 1024 * 1024)
CHUNK = CHUNK_BYTES
HOUR = 3_600_000  # ms


async def pieces(body: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]
        await asyncio.sleep(0)


async def parts(*given: tuple[str, bytes] | tuple[str, bytes, str]) -> AsyncIterator[Part]:
    for key, body, *type in given:
        yield Part(key, pieces(body), *type)


async def create(areas: Areas, *given: tuple[str, bytes], ms: int = HOUR) -> None:
    await areas.create(Write(AREA, caller=ME), parts(*given), ms, ROOMY)


async def update(areas: Areas, *given: tuple[str, bytes], ms: int = HOUR) -> None:
    await areas.update([AREA], parts(*given), ms, ME, ROOMY)


async def replace(areas: Areas, *given: tuple[str, bytes], ms: int = HOUR) -> None:
    await areas.replace(Write(AREA, caller=ME), parts(*given), ms, ROOMY)


async def body_of(areas: Areas, area: Area, key: str) -> bytes:
    return b"".join([piece async for piece in areas.read(area, area.value(key))])


async def held(areas: Areas) -> dict[str, bytes]:
    """Return all keys and values of an area."""
    area = await areas.find_first([AREA])
    return {key: await body_of(areas, area, key) for key in area.values}


def blob_chunks(keyspace: Keyspace, *, let_go: bool = False) -> set[str]:
    """Return the names of the chunks that do not expire, or only of those that will expire soon."""
    found = {name for name in keyspace.names() if name.startswith(AREA.chunks)}
    return {name for name in found if (0 < int(keyspace.command("PTTL", name)) <= 61_000) == let_go}
