"""Tests that every dialect fulfils the contract of dialects. A new dialect is found and tested, too."""

from importlib import import_module
from inspect import signature
from pathlib import Path

import msgspec
import pytest
from multidict import CIMultiDict

from service.api.dialect import Answer, Dialect, Failure, Handling, NoSuchMethod, NoSuchPath, Route, Stream
from service.dialects import discover
from service.http.routing import Router
from service.storage.errors import OperationRefused, OutcomeUnknown, Refusal, Throttled, Unauthenticated, Unavailable

ROOT = Path(__file__).parent.parent
README = (ROOT / "service" / "dialects" / "README.md").read_text()
PAGE = (ROOT / "docs" / "dialects.md").read_text()
DIALECTS = discover()
NASTY = ["plain", 'quo"te', "line\r\nbreak: 1", "\x00\x7f", "é日\U0001f600", "", "x" * 200]
OURS = (Unavailable, OutcomeUnknown, Failure)  # the service failed; in all other refusals the request is wrong

every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def refusals() -> list[Refusal]:
    """Return one refusal of each class that a dialect must render."""
    special: list[Refusal] = [
        Throttled("1500000"),
        NoSuchMethod(["GET", "HEAD"]),
        OperationRefused("2 EXISTS so"),
    ]
    kinds = [kind for kind in Refusal.__subclasses__() if not kind.internal and kind not in map(type, special)]
    return special + [kind("it was said so") for kind in kinds]


def routes() -> list[tuple[Dialect, Route]]:
    return [(dialect, route) for dialect in DIALECTS for route in dialect.routes]


every_route = pytest.mark.parametrize(
    ("dialect", "route"), routes(), ids=[f"{route.method} {route.template}" for _, route in routes()]
)


def parameters(template: str) -> int:
    return sum(segment.startswith("{") for segment in template.split("/"))


@every_dialect
@pytest.mark.parametrize("refusal", refusals(), ids=lambda refusal: type(refusal).__name__)
def test_every_refusal_is_rendered_in_the_vendors_shape(dialect: Dialect, refusal: Refusal) -> None:
    check = import_module(f"tests.dialects.{dialect.name}.shape").check
    for count in {0, *(parameters(route.template) for route in dialect.routes)}:
        for text in NASTY:
            answer = dialect.refuse(refusal, (text,) * count)
            check(answer)
            assert (answer.status >= 500) == isinstance(refusal, OURS)
            assert not any("\n" in value or "\r" in value for _, value in answer.headers)


@every_dialect
def test_the_message_of_a_refusal_reaches_the_client(dialect: Dialect) -> None:
    for refusal in refusals():
        answer = dialect.refuse(refusal, ())
        assert str(refusal).encode() in answer.body


@every_route
def test_a_route_is_below_a_prefix_of_its_dialect(dialect: Dialect, route: Route) -> None:
    assert any(route.template.startswith(prefix) for prefix in dialect.prefixes)
    assert Router(DIALECTS).owner(route.template.replace("{", "").replace("}", "")) is dialect


@every_route
def test_a_route_is_documented_by_its_template(dialect: Dialect, route: Route) -> None:
    assert f"`{route.method} {route.template}`" in PAGE


@every_route
def test_a_route_is_described(dialect: Dialect, route: Route) -> None:
    """The docstring of the handler and the description beside the route are the source of the OpenAPI document."""
    assert dialect.api is not None
    assert route.described is not None
    assert route.handler.__doc__


@every_route
def test_a_handler_declares_if_its_answer_is_long(dialect: Dialect, route: Route) -> None:
    assert signature(route.handler).return_annotation in (Answer, Stream, Answer | Stream, Handling)


@every_route
def test_a_route_is_found_with_its_parameters_decoded(dialect: Dialect, route: Route) -> None:
    path = "/".join("a%2F%C3%A9" if segment.startswith("{") else segment for segment in route.template.split("/"))
    found = Router(DIALECTS).find(route.method, path)
    assert found == (dialect, route, ("a/é",) * parameters(route.template))


def test_no_two_dialects_share_a_prefix() -> None:
    prefixes = [(prefix, dialect) for dialect in DIALECTS for prefix in dialect.prefixes]
    for prefix, dialect in prefixes:
        assert prefix.startswith("/")
        assert [other for each, other in prefixes if each.startswith(prefix)].count(dialect) == sum(
            each.startswith(prefix) for each, _ in prefixes
        )


@every_dialect
def test_a_dialect_has_the_name_of_its_module(dialect: Dialect) -> None:
    assert import_module(f"service.dialects.{dialect.name}").DIALECT is dialect
    assert f"| {dialect.name} |" in README
    assert f"\n## {dialect.name}\n" in PAGE
    assert dialect.docs.startswith("https://")
    assert dialect.docs in README


@every_dialect
@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "Bearer Bearer x"}], ids=str)
def test_a_request_without_a_credential_is_unauthenticated(dialect: Dialect, headers: dict[str, str]) -> None:
    """A dialect that is open to all until passwords are declared returns no credential instead."""
    try:
        assert dialect.credential(CIMultiDict(headers)) is None
    except Unauthenticated:
        return
    assert dialect.challenge.startswith("Basic ")


@every_dialect
def test_an_empty_section_of_the_access_document_declares_nothing(dialect: Dialect) -> None:
    section = msgspec.convert({}, dialect.access, strict=True)
    assert list(section.changes()) == []  # type: ignore[attr-defined]


def test_dialects_are_chosen_by_name() -> None:
    first = DIALECTS[0]
    assert discover((first.name,)) == [first]
    with pytest.raises(ValueError, match="no such dialect: nonsense"):
        discover(("nonsense",))


def test_a_path_outside_all_prefixes_belongs_to_no_dialect() -> None:
    router = Router(DIALECTS)
    assert router.owner("/nothing") is None
    with pytest.raises(NoSuchPath):
        router.find("GET", "/nothing")
