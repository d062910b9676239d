"""Tests of routing: trailing and repeated slashes, prefixes, and heads for which the fast path may reuse a route."""

import pytest

from service.api.dialect import NoSuchPath
from service.dialects import discover
from service.http.routing import Router
from service.storage.keys import is_unreserved

ROUTER = Router(discover())
JSON, GENESYS = "/api/v1/storage/json", "/genesys/1/storage"

FOUND = [
    ("GET", JSON + "/", JSON, ()),
    ("GET", JSON + "/cat/", JSON + "/{category}", ("cat",)),
    ("GET", JSON + "/cat//", JSON + "/{category}", ("cat",)),
    ("GET", JSON + "/cat/key/", JSON + "/{category}/{key}", ("cat", "key")),
    ("GET", JSON + "/cat/meta/", JSON + "/{category}/{key}", ("cat", "meta")),
    ("GET", JSON + "/cat/key/meta/", JSON + "/{category}/{key}/meta", ("cat", "key")),
    ("GET", JSON + "/cat//meta", JSON + "/{category}/{key}/meta", ("cat", "")),
    ("GET", JSON + "//key", JSON + "/{category}/{key}", ("", "key")),
    ("GET", JSON + "/cat/%2F", JSON + "/{category}/{key}", ("cat", "/")),
    ("GET", "/api/v1/whoami/", "/api/v1/whoami", ()),
    ("POST", "/bots_api/v1/users//set_storage.json", "/bots_api/v1/users/{user_layer_id}/set_storage.json", ("",)),
    ("DELETE", GENESYS + "//x", GENESYS + "/{id}", ("x",)),
    ("DELETE", "/genesys//1///storage////x//", GENESYS + "/{id}", ("x",)),
    ("GET", GENESYS + "//x", GENESYS + "/{id}", ("x",)),
    ("GET", GENESYS + "/x//key", GENESYS + "/{id}/{key}", ("x", "key")),
    ("GET", GENESYS + "//binary//x//key", GENESYS + "/binary/{id}/{key}", ("x", "key")),
    ("POST", GENESYS + "//custom//x//30", GENESYS + "/custom/{customId}/{ttl}", ("x", "30")),
]


@pytest.mark.parametrize(("method", "path", "template", "parameters"), FOUND)
def test_slashes_at_the_end_of_a_path_are_ignored(
    method: str, path: str, template: str, parameters: tuple[str, ...]
) -> None:
    _, route, found = ROUTER.find(method, path)
    assert (route.template, found) == (template, parameters)


@pytest.mark.parametrize("path", ["/", "//", "", GENESYS + "/", GENESYS + "//", "/api//v1/storage/json", "/api/v1/"])
def test_a_path_without_a_route_stays_unknown(path: str) -> None:
    with pytest.raises(NoSuchPath):
        ROUTER.find("POST", path)


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/api/v1", "ainoflow"),
        ("/api/v1/", "ainoflow"),
        ("/api/v1/x", "ainoflow"),
        ("/api/v1x", None),
        ("/dashboard", "avaamo"),
        ("/bots_api/v1", "avaamo"),
        ("/genesys", "genesys"),
        ("/genesys//", "genesys"),
        ("/api/mktplace", "auravant"),
        ("/publicvalues", "auravant"),
        ("/publicfiles/", "auravant"),
        ("/", None),
        ("", None),
        ("/x/api/v1/", None),
        ("/apiXv1/", None),
    ],
)
def test_a_prefix_belongs_to_its_dialect_with_and_without_its_slash(path: str, owner: str | None) -> None:
    found = ROUTER.owner(path)
    assert (found and found.name) == owner


@pytest.mark.parametrize(
    ("path", "varies"),
    [
        (JSON + "/cat/key", True),
        (JSON + "/cat", True),
        (JSON + "/cat/", False),
        (JSON + "/cat/key/", False),
        (JSON + "/cat/key/meta", False),
        (GENESYS + "/x/key", True),
        (GENESYS + "/x/key/", False),
        (GENESYS + "/x", False),
    ],
)
def test_only_a_last_segment_that_is_a_parameter_may_vary(path: str, varies: bool) -> None:
    assert ROUTER.varies(path) is varies


def test_an_empty_last_segment_may_not_vary() -> None:
    """The fast path reuses a route for another last segment only if `is_unreserved` is true for it."""
    assert is_unreserved(b"key")
    assert not is_unreserved(b"")
