"""Tests the pages under /docs: they need no credential and no other server, and their policy permits nothing else."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession
from yarl import URL

from service.dialects import discover
from tests.dialects.ainoflow.client import at
from tests.running import Running

NAMES = [dialect.name for dialect in discover()]
PAGES = ["/", "/docs", "/docs/", *(f"/docs/{name}" for name in NAMES)]
DOCUMENTS = [f"/openapi/{name}.json" for name in NAMES]


class Read(HTMLParser):
    """The references of a page, and the parts that its policy would not let through."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.needed: set[str] = set()
        self.links: set[str] = set()
        self.within: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.within += [f"{tag} {name}" for name in named if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in named):
            self.within.append(tag)
        for name in ("src", "data-document", "href"):
            if value := named.get(name):
                (self.links if tag == "a" else self.needed).add(value)


async def page(running: Running, http: ClientSession, path: str) -> Read:
    async with http.get(running.url + path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        return Read(await answer.text())


@pytest.mark.parametrize("path", PAGES)
async def test_everything_that_a_page_needs_is_served_here(service: Running, http: ClientSession, path: str) -> None:
    read = await page(service, http, path)
    kinds = {"js": "text/javascript", "css": "text/css", "json": "application/json"}
    needed = {target for target in read.needed if target != "data:,"}
    assert needed
    for target in needed:
        assert target.startswith("/")
        async with http.get(service.url + target) as answer:
            assert answer.status == 200
            assert answer.content_type == kinds[target.rpartition(".")[2]]
            assert await answer.read()


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_contains_nothing_that_its_policy_forbids(
    service: Running, http: ClientSession, path: str
) -> None:
    assert (await page(service, http, path)).within == []


async def test_a_style_refers_to_no_other_server(service: Running, http: ClientSession) -> None:
    for name in ("docs.css", "swagger_style.css"):
        async with http.get(f"{service.url}/docs/assets/{name}") as answer:
            text = await answer.text()
        assert "@import" not in text
        assert [url for url in re.findall(r"url\(\s*[\"']?([^\"')]{0,30})", text) if not url.startswith("data:")] == []


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_the_first_page_links_to_every_dialect(service: Running, http: ClientSession, path: str) -> None:
    links = (await page(service, http, path)).links
    assert {f"/docs/{name}" for name in NAMES} | set(DOCUMENTS) | {dialect.docs for dialect in discover()} == links
    for link in links:
        if not urlsplit(link).netloc:
            async with http.get(service.url + link) as answer:
                assert answer.status == 200


@pytest.mark.parametrize("path", [*PAGES, *DOCUMENTS, "/docs/assets/swagger_bundle.js"])
async def test_pages_and_documents_have_security_headers(service: Running, http: ClientSession, path: str) -> None:
    async with http.get(service.url + path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", [*PAGES, *DOCUMENTS, "/docs/assets/swagger_bundle.js"])
async def test_pages_and_documents_are_revalidated_by_their_etag(
    service: Running, http: ClientSession, path: str
) -> None:
    async with http.get(service.url + path) as answer:
        etag, length = answer.headers["ETag"], len(await answer.read())
    async with http.get(service.url + path, headers={"If-None-Match": etag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
        assert answer.headers["ETag"] == etag
        assert "Content-Security-Policy" in answer.headers
    async with http.head(service.url + path) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) == length


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_pages_and_documents_can_only_be_read(service: Running, http: ClientSession, method: str) -> None:
    for path in ("/", "/docs", DOCUMENTS[0]):
        async with http.request(method, service.url + path) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "GET, HEAD"
            assert (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/docs/none",
        "/docs/ainoflow/",
        "/docs/assets/",
        "/docs/assets/../index.html",
        "/docs/assets/%2e%2e/index.html",
        "/docs/index.html",
        "/docs/assets/redoc.js",
        "/openapi",
        "/openapi/",
        "/openapi/none.json",
        "/openapi/../docs",
    ],
)
async def test_unknown_pages_are_404(service: Running, http: ClientSession, path: str) -> None:
    async with http.get(URL(service.url + path, encoded=True)) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["message"]


async def test_only_served_dialects_have_pages(serve: Callable[..., Running], http: ClientSession) -> None:
    running = serve(dialects=NAMES[0])
    async with http.get(running.url + "/docs") as answer:
        assert set(re.findall(r'"/openapi/(\w+)\.json"', await answer.text())) == {NAMES[0]}


async def test_without_docs_no_page_is_served(serve: Callable[..., Running], http: ClientSession) -> None:
    running = serve(docs=False)
    for path in (*PAGES, *DOCUMENTS, "/docs/assets/docs.css"):
        async with http.get(running.url + path) as answer:
            assert answer.status == 404
    async with http.get(running.url + at("d"), headers={"Authorization": "Bearer ak-1"}) as answer:
        assert answer.status == 200
