"""Tests conditional requests: If-Match and If-None-Match for writes, If-None-Match for reads."""

import pytest

from tests.dialects.ainoflow.client import Client, Reply, at, on_the_wire
from tests.raw_http import request

WRITES = ["PUT", "PATCH", "DELETE"]
OTHER = "0" * 32


async def write(project: Client, method: str, **headers: str) -> Reply:
    return await project.ask(method, at("d", "k"), None if method == "DELETE" else b'{"new":1}', **headers)


async def stored(project: Client, body: bytes = b'{"old":1}') -> str:
    """Store the document, and return its etag."""
    etag: str = (await project.put("d", "k", body)).json["etag"]
    return etag


async def unchanged(project: Client) -> None:
    assert (await project.get("d", "k")).body == b'{"old":1}'
    assert (await project.get("d", "k", "meta")).json["version"] == 1


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("header", ['"{}"', "{}", '"x", "{}"', ' "{}" ,W/"y"', "*", " * "])
async def test_a_write_whose_if_match_holds_is_done(project: Client, method: str, header: str) -> None:
    etag = await stored(project)
    assert (await write(project, method, If_Match=header.format(etag))).status == 200


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("header", [f'"{OTHER}"', 'W/"{}"', '""', '"*"', '"x", "y"', '"{}x"'])
async def test_a_write_whose_if_match_fails_is_412_and_changes_nothing(
    project: Client, method: str, header: str
) -> None:
    etag = await stored(project)
    (await write(project, method, If_Match=header.format(etag))).refused(412)
    await unchanged(project)


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("header", ["*", f'"{OTHER}"'])
async def test_if_match_on_a_missing_document_is_412(project: Client, method: str, header: str) -> None:
    (await write(project, method, If_Match=header)).refused(412)
    await project.nothing_stored()


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("header", ["*", '"{}"', 'W/"{}"', '"x","{}"'])
async def test_a_write_whose_if_none_match_fails_is_412_and_changes_nothing(
    project: Client, method: str, header: str
) -> None:
    etag = await stored(project)
    (await write(project, method, If_None_Match=header.format(etag))).refused(412)
    await unchanged(project)


@pytest.mark.parametrize("method", WRITES)
async def test_a_write_whose_if_none_match_holds_is_done(project: Client, method: str) -> None:
    await stored(project)
    assert (await write(project, method, If_None_Match=f'"{OTHER}"')).status == 200


async def test_if_none_match_star_creates_only(project: Client) -> None:
    assert (await write(project, "PUT", If_None_Match="*")).json["version"] == 1
    (await write(project, "PUT", If_None_Match="*")).refused(412)


async def test_both_conditions_must_hold(project: Client) -> None:
    etag = await stored(project)
    (await write(project, "PUT", If_Match=f'"{etag}"', If_None_Match=f'"{etag}"')).refused(412)
    (await write(project, "PUT", If_Match="*", If_None_Match="*")).refused(412)
    await unchanged(project)
    assert (await write(project, "PUT", If_Match=f'"{etag}"', If_None_Match=f'"{OTHER}"')).status == 200


@pytest.mark.parametrize("size", [200_000, 700_000])
async def test_conditions_are_checked_for_large_documents_too(project: Client, size: int) -> None:
    large = b'{"pad":"%s"}' % (b"x" * size)
    first = await stored(project, large)
    patched = await project.ask("PATCH", at("d", "k"), b'{"a":1}', If_Match=f'"{first}"')
    assert patched.json["version"] == 2
    (await project.ask("PATCH", at("d", "k"), b'{"a":2}', If_Match=f'"{first}"')).refused(412)
    (await project.ask("PUT", at("d", "k"), large, If_Match=f'"{first}"')).refused(412)
    (await project.ask("PUT", at("d", "k"), large, If_None_Match="*")).refused(412)
    put = await project.ask("PUT", at("d", "k"), large, If_Match=f'"{patched.json["etag"]}"')
    assert put.json == patched.json | {"version": 3, "etag": first}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("header", ["*", '"{}"', 'W/"{}"', '"x" , "{}"'])
async def test_a_reader_with_the_current_etag_gets_304(project: Client, method: str, header: str) -> None:
    etag = await stored(project)
    known = await project.ask(method, at("d", "k"), If_None_Match=header.format(etag))
    assert (known.status, known.body, known.headers["ETag"]) == (304, b"", f'"{etag}"')
    assert "Last-Modified" in known.headers
    assert "Content-Type" not in known.headers


async def test_a_reader_with_another_etag_gets_the_document(project: Client) -> None:
    await stored(project)
    assert (await project.ask("GET", at("d", "k"), If_None_Match=f'"{OTHER}"')).body == b'{"old":1}'


async def test_a_connection_can_be_used_after_a_304(project: Client) -> None:
    etag = await stored(project)
    for _ in range(3):
        assert (await project.ask("GET", at("d", "k"), If_None_Match=f'"{etag}"')).status == 304
        assert (await project.get("d", "k")).status == 200


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (['If-Match: "x"', 'If-Match: "ETAG"'], 200),
        (['If-Match: "x"', "If-Match: *"], 200),
        (['If-Match: "x"', 'If-Match: "y"'], 412),
        (['If-None-Match: "x"', 'If-None-Match: "ETAG"'], 412),
        (['If-None-Match: "x"', "If-None-Match: *"], 412),
        (['If-None-Match: "x"', 'If-None-Match: "y"'], 200),
    ],
)
async def test_all_lines_of_a_condition_count(project: Client, method: str, lines: list[str], status: int) -> None:
    etag = await stored(project)
    given = [line.replace("ETAG", etag) for line in lines]
    body = None if method == "DELETE" else b'{"new":1}'
    sent = request(method, at("d", "k"), body, *given, credential=f"Authorization: Bearer {project.key}")
    assert (await on_the_wire(project.running, sent)).status == status


@pytest.mark.parametrize("line", ['"{}"', "*"])
async def test_all_lines_of_a_reader_s_condition_count(project: Client, line: str) -> None:
    lines = ['If-None-Match: "x"', f"If-None-Match: {line.format(await stored(project))}"]
    sent = request("GET", at("d", "k"), None, *lines, credential=f"Authorization: Bearer {project.key}")
    assert (await on_the_wire(project.running, sent)).status == 304
