"""The overlays, built once in every way that there is here."""

from collections.abc import Iterator
from functools import cache

import pytest
from kubernetes_validate import utils

from tests.k8s.kustomize import OVERLAYS, Object, ways

BUILT = {name: {overlay: build(overlay) for overlay in OVERLAYS} for name, build in ways().items()}


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
def objects(overlay: str) -> list[Object]:
    """All objects of the overlay, as Kubernetes gets them."""
    return list(BUILT.values())[-1][overlay]


@pytest.fixture
def built() -> dict[str, dict[str, list[Object]]]:
    """All builds: way -> overlay -> objects."""
    return BUILT
