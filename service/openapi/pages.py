"""Pages on the dialects' port: the OpenAPI documents, and HTML pages to browse them.

| path | content |
| --- | --- |
| `/openapi/NAME.json` | the document of a dialect |
| `/docs`, `/` | the list of dialects |
| `/docs/NAME` | one dialect in Swagger UI |
| `/docs/assets/FILE` | scripts and styles of these pages |

The pages load nothing from other servers and contain no inline script or style, so their Content-Security-Policy
forbids both. The files of Swagger UI are taken from the package `offapi`. It is never imported, because that would read
all its files into memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from html import escape
from importlib.util import find_spec
from pathlib import Path
from string import Template

import orjson

from service.api.description import JSON
from service.api.dialect import Answer, Dialect, Headers, NoSuchMethod, NoSuchPath
from service.api.preconditions import not_modified
from service.openapi.document import document

HTML, SCRIPT, STYLE = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8"
OURS = Path(__file__).with_name("static")
THEIRS = Path(find_spec("offapi").origin).parent  # type: ignore[union-attr, arg-type]
ASSETS = (
    (OURS / "docs.js", SCRIPT),
    (OURS / "docs.css", STYLE),
    (THEIRS / "swagger_bundle.js", SCRIPT),
    (THEIRS / "swagger_style.css", STYLE),
)

HEADERS = (
    ("Cache-Control", "no-cache"),  # browsers revalidate each time, because a new release may have new pages
    (
        "Content-Security-Policy",
        (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


@dataclass
class Page:
    """One page or file. Its body is made or read at the first request."""

    path: str
    content_type: str
    make: Callable[[], bytes]

    @cached_property
    def body(self) -> bytes:
        return self.make()

    @cached_property
    def etag(self) -> str:
        return sha256(self.body).hexdigest()[:32]

    def answer(self, headers: Headers) -> Answer:
        own = (*HEADERS, ("ETag", f'"{self.etag}"'))
        if not_modified(headers, self.etag):
            return Answer(304, headers=own)
        return Answer(200, self.body, self.content_type, own)


class Docs:
    """All pages by path; none if no dialect has a description."""

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        shown = [dialect for dialect in dialects if dialect.api is not None]
        self._pages = {page.path: page for page in (*_pages(shown), *_assets())} if shown else {}

    def find(self, method: str, path: str) -> Page:
        """Return the page at a path. Raises NoSuchPath, NoSuchMethod."""
        page = self._pages.get(path)
        if page is None:
            raise NoSuchPath("there is nothing at this path")
        if method not in ("GET", "HEAD"):
            raise NoSuchMethod(("GET", "HEAD"))
        return page


def _pages(dialects: list[Dialect]) -> Iterator[Page]:
    """Yield the documents, the page of each dialect, and the list of dialects."""
    entries = ""
    for dialect in dialects:
        title = dialect.api.title if dialect.api else ""
        names = {"name": dialect.name, "title": title, "docs": dialect.docs}
        entries += _filled("entry.html", names)
        yield Page(f"/openapi/{dialect.name}.json", JSON, partial(_text, dialect))
        yield Page(f"/docs/{dialect.name}", HTML, partial(str.encode, _filled("dialect.html", names)))
    for path in ("/", "/docs", "/docs/"):
        index = (OURS / "index.html").read_text().replace("<!-- entries -->", entries)
        yield Page(path, HTML, partial(str.encode, index))


def _text(dialect: Dialect) -> bytes:
    """Return a dialect's document as JSON. It takes 10 ms, so it is not made at the start of every worker."""
    return orjson.dumps(document(dialect))


def _assets() -> Iterator[Page]:
    return (Page(f"/docs/assets/{path.name}", kind, path.read_bytes) for path, kind in ASSETS)


def _filled(name: str, values: Mapping[str, str]) -> str:
    """Return a template of this folder with the values filled in."""
    return Template((OURS / name).read_text()).substitute({key: escape(value) for key, value in values.items()})
