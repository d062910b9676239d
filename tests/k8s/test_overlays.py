"""Tests whole overlays: they build, Kubernetes knows every field, and every reference has a target."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from service import __version__
from tests.k8s.kustomize import K8S, OVERLAYS, Object, identity
from tests.k8s.objects import containers, named, of, pod_specs

# Of the oldest version in which everything here is stable, and of the newest that the package knows.
VERSIONS = ("1.31", kubernetes_validate.latest_version())
CUSTOM = {"ServiceMonitor": {"selector", "endpoints"}, "PrometheusRule": {"groups"}}

EVERYWHERE = {
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Namespace",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PrometheusRule",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceMonitor",
}
KINDS = {
    "single": EVERYWHERE | {"StatefulSet"},
    "cluster": EVERYWHERE | {"StatefulSet", "Job"},
    "external": EVERYWHERE,
    "loadtest": {"ConfigMap", "Job", "NetworkPolicy", "Secret", "Service", "ServiceAccount"},
}


def test_every_overlay_is_tested_here() -> None:
    assert set(KINDS) == set(OVERLAYS)


def test_all_ways_to_build_an_overlay_agree(built: dict[str, dict[str, list[Object]]], overlay: str) -> None:
    first, *others = [sorted(way[overlay], key=identity) for way in built.values()]
    assert all(other == first for other in others)


def test_an_overlay_has_every_kind_and_nothing_twice(objects: list[Object], overlay: str) -> None:
    names = [identity(each) for each in objects]
    assert {kind for kind, _ in names} == KINDS[overlay]
    assert len(names) == len(set(names))


def test_every_object_is_in_one_namespace(objects: list[Object], overlay: str) -> None:
    assert {each["metadata"].get("namespace", each["metadata"]["name"]) for each in objects} == {"polystow"}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(objects: list[Object], version: str) -> None:
    for each in objects:
        if each["kind"] in CUSTOM:
            assert set(each["spec"]) == CUSTOM[each["kind"]]
        else:
            kubernetes_validate.validate(each, version, strict=True)


def test_configuration_that_a_pod_uses_exists(objects: list[Object]) -> None:
    kept = {identity(each): set(each["data"]) for each in objects if "data" in each}
    for pod in pod_specs(objects):
        for volume in pod.get("volumes", []):
            if "secret" in volume:
                assert kept["Secret", volume["secret"]["secretName"]]
            elif "configMap" in volume:
                assert kept["ConfigMap", volume["configMap"]["name"]]
        for container in containers(pod):
            for source in container.get("envFrom", []):
                ((kind, name),) = [
                    (kind, source[f"{kind[0].lower()}{kind[1:]}Ref"]["name"])
                    for kind in ("ConfigMap", "Secret")
                    if f"{kind[0].lower()}{kind[1:]}Ref" in source
                ]
                assert kept[kind, name]
            for variable in container.get("env", []):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    assert reference["key"] in kept["Secret", reference["name"]]


def test_a_mounted_file_has_the_path_that_the_command_uses(objects: list[Object]) -> None:
    files = {each["metadata"]["name"]: set(each["data"]) for each in of(objects, "ConfigMap")}
    for pod in pod_specs(objects):
        for container in containers(pod):
            for word in _words(container):
                if word.startswith("/etc/redis/"):
                    assert word.removeprefix("/etc/redis/") in files["redis"], word


def _words(container: dict[str, Any]) -> list[str]:
    hooks = [*container.get("lifecycle", {}).values(), container.get("readinessProbe", {})]
    commands = [container.get("command", []), *(hook["exec"]["command"] for hook in hooks if "exec" in hook)]
    return [word for command in commands for text in command for word in text.split()]


def test_images_are_of_this_version(objects: list[Object]) -> None:
    for pod in pod_specs(objects):
        for container in containers(pod):
            name, _, tag = container["image"].partition(":")
            assert tag, name
            if name.startswith("polystow"):
                assert tag == __version__


def test_the_autoscaler_scales_an_existing_object_without_fixed_replicas(objects: list[Object]) -> None:
    for scaler in of(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert "replicas" not in named(objects, target["kind"], target["name"])["spec"]


def test_the_pod_of_a_restore_fits_the_volume(built: dict[str, dict[str, list[Object]]]) -> None:
    pod = yaml.safe_load((K8S / "redis" / "restore.yaml").read_text())
    redis = named(built["reading"]["single"], "StatefulSet", "redis")
    kubernetes_validate.validate(pod, VERSIONS[0], strict=True)
    assert pod["metadata"]["namespace"] == redis["metadata"]["namespace"]
    (claim,) = redis["spec"]["volumeClaimTemplates"]
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == f"{claim['metadata']['name']}-redis-0"
    (theirs,), (ours,) = redis["spec"]["template"]["spec"]["containers"], pod["spec"]["containers"]
    assert (ours["image"], ours["securityContext"]) == (theirs["image"], theirs["securityContext"])
    assert ours["volumeMounts"][0] in theirs["volumeMounts"]
    security = redis["spec"]["template"]["spec"]["securityContext"]
    assert pod["spec"]["securityContext"].items() <= security.items()
