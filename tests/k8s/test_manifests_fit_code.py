"""Tests that manifests and code agree on settings, ports, probes and times."""

import base64
import itertools
from typing import Any

import pytest

from service.operations.port import PING_SECONDS, Operations
from service.process.supervisor import STOP_SECONDS
from service.settings import PREFIX, TABLE, read
from tests.k8s.kustomize import OVERLAYS, Object
from tests.k8s.objects import named, of

SERVING = [name for name in OVERLAYS if name != "loadtest"]
RESERVE_SECONDS = 30
BY_NAME = {entry.variable: entry for entry in TABLE}


@pytest.fixture(params=SERVING)
def overlay(request: pytest.FixtureRequest) -> str:
    """The overlays that contain the service."""
    name: str = request.param
    return name


@pytest.fixture
def pod(objects: list[Object]) -> Any:
    """The service's pod."""
    return named(objects, "Deployment", "polystow")["spec"]["template"]["spec"]


@pytest.fixture
def container(pod: Any) -> Any:
    return pod["containers"][0]


@pytest.fixture
def configured(objects: list[Object]) -> dict[str, str]:
    data: dict[str, str] = named(objects, "ConfigMap", "polystow")["data"]
    return data


@pytest.fixture
def secret(objects: list[Object]) -> dict[str, str]:
    data = named(objects, "Secret", "polystow")["data"]
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


@pytest.fixture
def variables(container: Any, configured: dict[str, str], secret: dict[str, str]) -> dict[str, str]:
    """The environment of the container, as Kubernetes makes it, with the secrets that an operator must fill in."""
    filled = secret | {name: "x1" for name in secret if name.endswith(("PASSWORD", "TOKEN"))}
    found = configured | filled
    for variable in container.get("env", []):
        value = variable["value"]
        for name in found:
            value = value.replace(f"$({name})", found[name])
        assert "$(" not in value
        found[variable["name"]] = value
    return found


def test_every_variable_is_a_setting(variables: dict[str, str]) -> None:
    assert {name for name in variables if name.startswith(PREFIX)} <= set(BY_NAME)
    assert {name for name in variables if not name.startswith(PREFIX)} <= {"REDIS_PASSWORD"}


def test_the_secret_has_all_secrets_and_nothing_else(
    configured: dict[str, str], secret: dict[str, str], container: Any
) -> None:
    """The test fails if the code has a new secret setting, until each overlay has it."""
    secrets = {name for name, entry in BY_NAME.items() if entry.secret}
    composed = {variable["name"] for variable in container.get("env", [])}
    assert composed | set(secret) - {"REDIS_PASSWORD"} == secrets
    assert not secrets & set(configured)


def test_the_repository_contains_no_usable_secret(secret: dict[str, str]) -> None:
    assert set(secret.values()) == {""}


def test_the_settings_are_valid(variables: dict[str, str], overlay: str) -> None:
    settings = read({}, variables | ({"POLYSTOW_REDIS_URL": "rediss://x:y@z"} if overlay == "external" else {}))
    assert settings.host == "0.0.0.0"
    assert settings.workers == 1
    assert settings.redis_url is not None
    scheme = {"single": "redis://", "cluster": "redis+cluster://", "external": "rediss://"}[overlay]
    assert settings.redis_url.startswith(scheme)


def test_ports_are_those_of_the_settings(container: Any, variables: dict[str, str]) -> None:
    settings = read({}, variables)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.port, "ops": settings.ops_port}


def test_probes_use_paths_of_the_operations_port(container: Any) -> None:
    class Nobody:
        async def ping(self) -> None: ...

    routes: Any = Operations(Nobody(), Any, None).application().router.routes()  # type: ignore[arg-type]
    known = {route.resource.canonical for route in routes}
    probes = {name: probe["httpGet"] for name, probe in container.items() if name.endswith("Probe")}
    assert {probe["path"] for probe in probes.values()} == {"/healthz", "/readyz"} <= known
    assert probes["livenessProbe"]["path"] == probes["startupProbe"]["path"] == "/healthz"
    assert {probe["port"] for probe in probes.values()} == {"ops"}


def test_a_probe_waits_longer_than_the_service_waits_for_redis(container: Any) -> None:
    assert container["readinessProbe"]["timeoutSeconds"] > PING_SECONDS


def test_the_drain_lasts_until_the_endpoint_is_removed(container: Any, variables: dict[str, str]) -> None:
    probe = container["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert read({}, variables).drain_seconds > noticed


def test_no_pod_is_killed_before_it_has_stopped(pod: Any, container: Any, variables: dict[str, str]) -> None:
    sleep, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert sleep == "sleep"
    needed = int(seconds) + read({}, variables).drain_seconds + STOP_SECONDS + RESERVE_SECONDS
    assert pod["terminationGracePeriodSeconds"] >= needed


def test_an_update_removes_no_pod_before_its_successor_is_ready(objects: list[Object]) -> None:
    strategy = named(objects, "Deployment", "polystow")["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0


def test_the_access_document_is_mounted_at_the_path_of_the_setting(
    pod: Any, container: Any, variables: dict[str, str]
) -> None:
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "access"]
    assert variables["POLYSTOW_ACCESS"] == f"{mount['mountPath']}/access.yaml"


def test_the_url_names_the_service_of_redis(objects: list[Object], variables: dict[str, str], overlay: str) -> None:
    if overlay == "external":
        assert not of(objects, "StatefulSet")
        return
    service = named(objects, "Service", "redis")
    stateful = named(objects, "StatefulSet", "redis")
    assert stateful["spec"]["serviceName"] == "redis"
    (port,) = service["spec"]["ports"]
    hosts = variables["POLYSTOW_REDIS_URL"].partition("@")[2].partition("/")[0].split(",")
    pods = [f"redis-{number}.redis" for number in range(stateful["spec"]["replicas"])]
    assert all(host.removesuffix(f":{port['port']}") in ("redis", *pods) for host in hosts)


def test_every_node_of_the_cluster_knows_all_nodes(built: dict[str, dict[str, list[Object]]]) -> None:
    objects = built["reading"]["cluster"]
    stateful = named(objects, "StatefulSet", "redis")
    expected = " ".join(f"redis-{number}.redis:6379" for number in range(stateful["spec"]["replicas"]))
    jobs = [named(objects, "Job", "redis-bootstrap"), stateful]
    told = [
        variable["value"]
        for job in jobs
        for variable in job["spec"]["template"]["spec"]["containers"][0]["env"]
        if variable["name"] == "NODES"
    ]
    assert told == [expected, expected]


def test_network_policies_allow_the_service_to_reach_redis(objects: list[Object], overlay: str) -> None:
    rules = itertools.chain.from_iterable(
        policy["spec"].get("egress", [])
        for policy in of(objects, "NetworkPolicy")
        if policy["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "polystow"}
    )
    ports = {port["port"] for rule in rules for port in rule["ports"]}
    assert {53, 6379 if overlay == "external" else "redis"} <= ports
