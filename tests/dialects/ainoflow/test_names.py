"""Tests that names of categories and keys may have any character, within their length, and never mean another name."""

import pytest

from tests.dialects.ainoflow.client import DOCUMENTS, Client, at

NAMES = [
    "plain",
    "with space",
    "a/b",
    "/",
    "//",
    "..",
    ".",
    "a/../b",
    "meta",
    "a/meta",
    "json",
    "%",
    "%2F",
    "%00",
    "+",
    "\x00",
    "\x01\x1f\x7f",
    "\r\nX-Injected: 1",
    "\t",
    "é",
    "e\u0301",
    "日本語",
    "\U0001f600",
    "\u202e",
    "\ufeff",
    "\ufffd",
    "{}",
    "{a}b",
    "}{",
    "r:",
    "}r:k",
    ":",
    "{ainoflow:acme:d}r:k",
    "polystow:epoch",
    "*",
    "[a-z]",
    "?a=1",
    "#",
    "&",
    "=",
    "'",
    '"',
    "\\",
    "\\u0041",
    "null",
    "0",
    "-1",
    "1e3",
    "' or 1=1 --",
    "$(id)",
    "<script>",
    "~_.-",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_a_name_may_have_any_characters(project: Client, name: str) -> None:
    body = b'{"n":1}'
    for category, key in ((name, "k"), ("d", name), (name, name)):
        receipt = (await project.put(category, key, body)).json
        assert (receipt["category"], receipt["key"], receipt["version"]) == (category, key, 1)
        assert (await project.get(category, key)).body == body
        meta = (await project.get(category, key, "meta")).json
        assert (meta["category"], meta["key"], meta["version"]) == (category, key, 1)
        assert key in await project.keys(category, sortBy="key")
    counts = {each["category"]: each["count"] for each in (await project.ask("GET", DOCUMENTS)).json}
    assert counts == {name: 2, "d": 1}
    for category, key in ((name, "k"), ("d", name), (name, name)):
        deleted = await project.ask("DELETE", at(category, key))
        assert (deleted.status, deleted.json) == (200, {"category": category, "key": key})
    await project.nothing_stored()


async def test_names_that_look_alike_are_different(project: Client) -> None:
    alike = ["a", "A", "a ", " a", "%61", "é", "e\u0301", "a\x00"]
    for key in alike:
        await project.put("d", key, b'["%b"]' % key.encode().hex().encode())
    assert await project.keys("d", sortBy="key") == sorted(alike, key=str.encode)
    for key in alike:
        assert (await project.get("d", key)).json == [key.encode().hex()]


async def test_a_refusal_names_the_document(project: Client) -> None:
    message = (await project.get('cat"\n', "é/%")).refused(404)
    assert message == "Item with category 'cat\"\n' and key 'é/%' was not found"


@pytest.mark.parametrize("letter", ["a", "é", "日", "\U0001f600"])
async def test_the_longest_names_are_counted_in_characters(project: Client, letter: str) -> None:
    await project.put(letter * 100, letter * 200)
    assert await project.keys(letter * 100) == [letter * 200]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"])
async def test_a_key_that_is_too_long_is_refused(project: Client, method: str) -> None:
    body = None if method in ("GET", "HEAD", "DELETE") else b"{}"
    reply = await project.ask(method, at("d", "é" * 201), body)
    if method == "HEAD":
        assert (reply.status, reply.body) == (400, b"")
    else:
        reply.refused(400)
    await project.nothing_stored()


@pytest.mark.parametrize("category", ["", "é" * 101], ids=["empty", "too long"])
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ("k",)),
        ("PUT", ("k",)),
        ("POST", ("k",)),
        ("PATCH", ("k",)),
        ("DELETE", ("k",)),
        ("GET", ("k", "meta")),
    ],
)
async def test_a_category_that_is_empty_or_too_long_is_refused(
    project: Client, method: str, rest: tuple[str, ...], category: str
) -> None:
    body = None if method in ("GET", "DELETE") else b"{}"
    (await project.ask(method, at(category, *rest), body)).refused(400)
    await project.nothing_stored()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/",
        "/api/v1/storage",
        "/api/v1/storage/",
        "/api/v1/storage/jsonx",
        f"{DOCUMENTS}/d/k/other",
        f"{DOCUMENTS}/d/k/meta/more",
        "/api/v1",
        "/api/v1/%77hoami/x",
        "/api/v1//whoami",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"])
async def test_an_unknown_path_is_404_in_the_vendors_shape(project: Client, method: str, path: str) -> None:
    (await project.ask(method, path, b"{}" if method.startswith("P") else None)).refused(404)


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PUT", DOCUMENTS, "GET, HEAD"),
        ("DELETE", at("d"), "GET, HEAD, POST"),
        ("DELETE", at("d", ""), "GET, HEAD, POST"),
        ("PUT", at("d", ""), "GET, HEAD, POST"),
        ("POST", at(""), "GET, HEAD"),
        ("PATCH", at("d"), "GET, HEAD, POST"),
        ("OPTIONS", at("d", "k"), "DELETE, GET, HEAD, PATCH, POST, PUT"),
        ("TRACE", at("d", "k"), "DELETE, GET, HEAD, PATCH, POST, PUT"),
        ("DELETE", at("d", "k", "meta"), "GET, HEAD"),
        ("POST", "/api/v1/whoami", "GET, HEAD"),
    ],
)
async def test_an_unknown_method_is_405_and_names_the_allowed_ones(
    project: Client, method: str, target: str, allowed: str
) -> None:
    reply = await project.ask(method, target)
    reply.refused(405)
    assert reply.headers["Allow"] == allowed
