"""Finds objects in an overlay, and their parts."""

from collections.abc import Iterator
from typing import Any

from tests.k8s.kustomize import Object, identity

WORKLOADS = ("Deployment", "StatefulSet", "Job")


def of(objects: list[Object], *kinds: str) -> list[Object]:
    """All objects of these kinds."""
    return [each for each in objects if each["kind"] in kinds]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The object; fails where it is missing."""
    (found,) = [each for each in objects if identity(each) == (kind, name)]
    return found


def pods(objects: list[Object]) -> Iterator[Any]:
    """The template of every workload's pods."""
    return (each["spec"]["template"] for each in of(objects, *WORKLOADS))


def pod_specs(objects: list[Object]) -> Iterator[Any]:
    """The templates of every workload's pods."""
    return (template["spec"] for template in pods(objects))


def containers(pod: Any) -> list[Any]:
    """All containers of a pod, also those that run before the others."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def selects(selector: dict[str, str], template: Any) -> bool:
    """True if a map of labels selects pods of that template."""
    labels: dict[str, str] = template["metadata"]["labels"]
    return selector.items() <= labels.items()
