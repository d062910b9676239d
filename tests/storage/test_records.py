"""Tests the stored format of a record: Python reads what the scripts have written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgpack import packb

from service.storage.records.record import CALLER_ID_BYTES, Record, etag
from service.storage.records.write import Write
from service.storage.root import Storage
from tests.storage.keyspace import COLLECTION, Keyspace

LAST_MS = 253_402_300_799_999  # the end of the year 9999
LONGEST = 255  # bytes of a header, because its length is one byte


@given(
    st.integers(1, 2**53),
    st.integers(0, 2**53),
    st.integers(0, 2**53),
    st.integers(0, LAST_MS),
    st.text(max_size=20),
    st.text(max_size=20),
    st.binary(max_size=300),
)
def test_a_packed_record_can_be_parsed(
    version: int, created: int, updated: int, expires: int, creator: str, updater: str, body: bytes
) -> None:
    fields = (version, created, updated, expires, creator, updater, len(body))
    for header in (packb(fields), packb((*fields, "padding"))):
        assert Record.unpack(bytes([len(header)]) + header + body) == Record(*fields, body)


@pytest.mark.parametrize("id", ["i" * CALLER_ID_BYTES, "é" * (CALLER_ID_BYTES // 2), "", "i" * 31, "i" * 32])
async def test_the_longest_header_fits(storage: Storage, keyspace: Keyspace, id: str) -> None:
    """Each field has its largest value: a version of 9 bytes, times, an expiry in the year 9999, the longest ids."""
    await storage.records.put(Write(COLLECTION, "a", id), b"[]")
    now = keyspace.now()
    header = packb((2**53 - 2, now, now, 0, id, id, 2))
    keyspace.command("SET", keyspace_key := COLLECTION.record("a"), bytes([len(header)]) + header + b"[]")
    saved = await storage.records.put(Write(COLLECTION, "a", id, lifetime=str(LAST_MS)), b"[1]")
    record = await storage.records.get(COLLECTION, "a")
    assert (saved.version, record.version, record.expires) == (2**53 - 1, 2**53 - 1, LAST_MS)
    assert (record.creator, record.updater, record.body) == (id, id, b"[1]")
    assert len(keyspace.header("a")) <= LONGEST
    assert keyspace.command("STRLEN", keyspace_key) == len(keyspace.header("a")) + 3
    assert (await storage.records.merge(Write(COLLECTION, "a", id), b"[2]", 100))[1] == etag(b"[2]")


@given(st.binary(max_size=100))
def test_the_etag_is_the_md5_of_exactly_the_bytes(body: bytes) -> None:
    assert len(etag(body)) == 32
    assert etag(body) != etag(body + b" ")


def test_the_etag_of_a_known_text() -> None:
    assert etag(b"") == "d41d8cd98f00b204e9800998ecf8427e"
