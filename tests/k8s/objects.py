"""Finds objects in an overlay, and their parts."""

from collections.abc import Iterator
from typing import Any

from tests.k8s.kustomize import Object, identity

WORKLOADS = ("Deployment", "StatefulSet", "Job")


def of(objects: list[Object], *kinds: str) -> list[Object]:
    """Return all objects of these kinds."""
    return [each for each in objects if each["kind"] in kinds]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """Return an object by kind and name. Fail if it is missing."""
    (found,) = [each for each in objects if identity(each) == (kind, name)]
    return found


def pods(objects: list[Object]) -> Iterator[Any]:
    """Return the pod template of each workload."""
    return (each["spec"]["template"] for each in of(objects, *WORKLOADS))


def pod_specs(objects: list[Object]) -> Iterator[Any]:
    """Return the pod specification of each workload."""
    return (template["spec"] for template in pods(objects))


def containers(pod: Any) -> list[Any]:
    """Return all containers of a pod, also the init containers."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def selects(selector: dict[str, str], template: Any) -> bool:
    """Return True if a map of labels selects the pods of a template."""
    labels: dict[str, str] = template["metadata"]["labels"]
    return selector.items() <= labels.items()
