"""Tests that bad input is refused in the vendor's format, never with a 5xx, and that nothing of it is stored."""

import pytest

from tests.dialects.ainoflow.client import DOCUMENTS, Client, at, on_the_wire
from tests.running import Running

NOT_DOCUMENTS = {
    "empty": b"",
    "white space": b" \n",
    "word": b"nonsense",
    "cut off": b'{"a":',
    "comma": b'{"a":1,}',
    "two": b"{}{}",
    "trailing": b"{} x",
    "nul behind": b"{}\x00",
    "single quotes": b"{'a':1}",
    "no quotes": b"{a:1}",
    "comment": b"{}//",
    "NaN": b'{"a":NaN}',
    "Infinity": b"[-Infinity]",
    "leading zero": b"[01]",
    "bare point": b"[1.]",
    "plus": b"[+1]",
    "hex": b"[0x1]",
    "control": b'["\x01"]',
    "line break": b'["\n"]',
    "escape": b'["\\x"]',
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "not UTF-8": b'{"a":"\xff"}',
    "overlong": b'["\xc0\xaf"]',
    "surrogate": b'["\xed\xa0\x80"]',
    "lone surrogate": b'["\\ud800"]',
    "cut character": b'["\xc3',
    "name not UTF-8": b'{"\xff":1}',
    "number": b"1",
    "text": b'"text"',
    "true": b"true",
    "null": b"null",
    "20,000 deep": b"[" * 20_000 + b"]" * 20_000,
    "20,000 objects deep": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "100,000 deep, cut off": b"[" * 100_000,
}


@pytest.mark.parametrize("body", NOT_DOCUMENTS.values(), ids=NOT_DOCUMENTS)
async def test_a_body_that_is_not_a_document_is_refused_and_not_stored(project: Client, body: bytes) -> None:
    (await project.ask("POST", at("d"), body)).refused(400)
    (await project.ask("POST", at("d", "k"), body)).refused(400)
    (await project.ask("PUT", at("d", "k"), body)).refused(400)
    await project.nothing_stored()
    await project.put("d", "k", b"[1]")
    (await project.ask("PUT", at("d", "k"), body)).refused(400)
    (await project.ask("PATCH", at("d", "k"), body)).refused(400)
    meta = (await project.get("d", "k", "meta")).json
    assert (meta["version"], meta["size"]) == (1, 3)


@pytest.mark.parametrize(
    "document", [b"[" * 500 + b"]" * 500, b'{"a":' * 499 + b"{}" + b"}" * 499, b"[" * 800 + b"]" * 800]
)
async def test_documents_with_500_levels_and_more_are_stored_unchanged(project: Client, document: bytes) -> None:
    await project.put("d", "k", document)
    assert (await project.get("d", "k")).body == document
    assert document in (await project.get("d", aggregate="true")).body


BAD_LIFETIMES = [
    "expiresMs=0",
    "expiresMs=-1",
    "expiresMs=1.5",
    "expiresMs=1e3",
    "expiresMs=abc",
    "expiresMs=+5",
    "expiresMs=%2B5",
    "expiresMs=99999999999999999999",
    "expiresMs=999999999999999999",
    "expiresMs=253402300799999",
    "expiresMs=0x10",
    "expiresMs=%D9%A1",
    "expiresMs=1%00",
    "expiresMs=NaN",
    "expiresMs=inf",
    "expiresMs=null",
    "expiresAt=tomorrow",
    "expiresAt=2020-01-01T00:00:00Z",
    "expiresAt=2099-13-01T00:00:00Z",
    "expiresAt=2099-02-30",
    "expiresAt=2099-01-01T25:00:00Z",
    "expiresAt=2099-01-01T00:00:60Z",
    "expiresAt=1893456000",
    "expiresAt=2099-01-01T00:00:00Z%00",
    "expiresAt=2099-01-01T00:00:00Zjunk",
    "expiresAt=2099-01-01%2000:00:00Z%20Z",
    "expiresAt=0000-01-01T00:00:00Z",
    "expiresAt=0001-01-01T00:00:00%2B23:59",
    "expiresAt=1970-01-01",
    "expiresAt=9999-12-31T23:59:59-23:59",
    "expiresAt=99999-01-01T00:00:00Z",
    "expiresAt=-2099-01-01T00:00:00Z",
    "expiresAt=2099-01-01T00:00:00%2B25:00",
    "expiresAt=%D9%A2%D9%A0%D9%A9%D9%A9-01-01",
    "expiresAt=2099-01-01x00:00:00Z",
    "expiresAt=%FF",
    "expiresMs=%FF",
    "%FF=1",
    "expiresAt=2099-01-01T00:00:00Z&expiresMs=1000",
]


@pytest.mark.parametrize("query", BAD_LIFETIMES)
async def test_an_invalid_lifetime_is_refused_and_nothing_is_stored(project: Client, query: str) -> None:
    for method, target in (("PUT", at("d", "k")), ("POST", at("d", "k")), ("POST", at("d"))):
        (await project.ask(method, f"{target}?{query}", b"{}")).refused(400)
    await project.nothing_stored()


BAD_PAGES = [
    "page=0",
    "page=-1",
    "page=1.0",
    "page=one",
    "page=99999999999999999999",
    "page=%D9%A1",
    "page=%FF",
    "limit=0",
    "limit=1001",
    "limit=-5",
    "limit=all",
    "limit=1e2",
    "limit=%20",
]
BAD_SORTS = [
    "sortBy=name",
    "sortBy=key,size",
    "sortBy=__class__",
    "sortBy=%00",
    "sortOrder=up",
    "sortOrder=ASC%00",
    "aggregate=2",
    "aggregate=yes",
    "aggregate=nul",
    "sortBy=%FF",
]


@pytest.mark.parametrize("query", BAD_PAGES + BAD_SORTS)
async def test_a_bad_parameter_of_a_list_is_refused(project: Client, query: str) -> None:
    await project.put("d", "k")
    (await project.ask("GET", f"{at('d')}?{query}")).refused(400)


@pytest.mark.parametrize("query", [*BAD_PAGES, "aggregate=2"])
async def test_a_bad_parameter_of_the_list_of_categories_is_refused(project: Client, query: str) -> None:
    await project.put("d", "k")
    (await project.ask("GET", f"{DOCUMENTS}?{query}")).refused(400)


@pytest.mark.parametrize("query", ["allowEmpty=2", "allowEmpty=yes", "allowEmpty=%FF"])
async def test_a_bad_allow_empty_is_refused(project: Client, query: str) -> None:
    await project.put("d", "k")
    (await project.ask("GET", f"{at('d', 'k')}?{query}")).refused(400)
    (await project.ask("GET", f"{at('d', 'none')}?{query}")).refused(400)


async def test_unknown_parameters_are_ignored(project: Client) -> None:
    await project.put("d", "k", b"[1]", colour="red")
    assert (await project.get("d", "k", colour="red")).body == b"[1]"
    assert len(await project.keys("d", colour="red")) == 1


@pytest.mark.parametrize("segment", ["%FF", "%C3", "%C0%AF", "%ED%A0%80", "a%80b", "%F5%80%80%80"])
@pytest.mark.parametrize(
    ("method", "template"),
    [
        ("GET", "{}"),
        ("POST", "{}"),
        ("GET", "{}/k"),
        ("PUT", "d/{}"),
        ("POST", "{}/k"),
        ("PATCH", "d/{}"),
        ("DELETE", "d/{}"),
        ("GET", "{}/k/meta"),
        ("GET", "d/{}/meta"),
    ],
)
async def test_a_path_that_is_not_utf8_is_refused(project: Client, method: str, template: str, segment: str) -> None:
    target = f"{DOCUMENTS}/{template.format(segment)}"
    (await project.ask(method, target, b"{}" if method.startswith("P") else None)).refused(400)
    await project.nothing_stored()


@pytest.mark.parametrize("segment", [b"\xff", "é".encode(), b"a b", b"\x00"])
async def test_an_invalid_request_target_is_refused(project: Client, segment: bytes) -> None:
    head = f"PUT {DOCUMENTS}/d/%b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {project.key}\r\n".encode()
    request = head % segment + b"Content-Length: 2\r\n\r\n{}"
    (await on_the_wire(project.running, request)).refused(400)
    await project.nothing_stored()


BROKEN = {
    "no request": b"nonsense\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\x00\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "negative length": b"GET / HTTP/1.1\r\nHost: x\r\nX: secret\r\nContent-Length: -1\r\n\r\n",
    "length and chunks": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("message", BROKEN.values(), ids=BROKEN)
async def test_a_broken_message_is_refused_and_neither_quoted_nor_logged(service: Running, message: bytes) -> None:
    logged = service.log.count("Error handling request")
    reply = await on_the_wire(service, message)
    reply.refused(400)
    assert b"secret" not in reply.body
    assert reply.headers["Server"] == "polystow"
    assert service.log.count("Error handling request") == logged


@pytest.mark.parametrize("length", [201, 9_000, 60_000])
async def test_a_name_of_any_excessive_length_is_refused(project: Client, length: int) -> None:
    (await project.ask("PUT", at("d", "x" * length), b"{}")).refused(400)
    (await project.ask("GET", at("x" * length))).refused(400)


@pytest.mark.parametrize("target", ["//", "?", "/%", "/api/v1/%", "/api/v1/storage/json/%/%", "/../etc", "/a?b?c"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
async def test_an_unusual_target_is_answered_and_the_connection_goes_on(
    project: Client, method: str, target: str
) -> None:
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {project.key}\r\n\r\n"
    assert 400 <= (await on_the_wire(project.running, head.encode())).status < 500


async def test_a_target_that_is_a_whole_url_is_treated_as_its_path(project: Client) -> None:
    await project.put("d", "k", b"[1]")
    head = f"GET http://host{at('d', 'k')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {project.key}\r\n\r\n"
    reply = await on_the_wire(project.running, head.encode())
    assert (reply.status, reply.body) == (200, b"[1]")
