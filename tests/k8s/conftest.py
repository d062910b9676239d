"""The overlays. Each installed tool builds them once, when a test first needs them."""

from collections.abc import Iterator
from functools import cache

import pytest
from kubernetes_validate import utils

from tests.k8s.kustomize import OVERLAYS, Object, ways

WAYS = ways()


@pytest.fixture(scope="session", autouse=True)
def schemas() -> Iterator[None]:
    """Read each schema of Kubernetes once: kubernetes_validate parses a megabyte of definitions for each object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", cache(utils.schema_contents))
        yield


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    """The name of an overlay."""
    name: str = request.param
    return name


@pytest.fixture
def objects(built: dict[str, dict[str, list[Object]]], overlay: str) -> list[Object]:
    """All objects of the overlay, as Kubernetes gets them."""
    return list(built.values())[-1][overlay]


@pytest.fixture(scope="session")
def built() -> dict[str, dict[str, list[Object]]]:
    """All builds: tool -> overlay -> objects."""
    return {name: {overlay: build(overlay) for overlay in OVERLAYS} for name, build in WAYS.items()}
