"""Tests the default checks of kube-linter, which are written here because no package has them.

Checks that concern what no overlay has (roles, ingresses, host paths) are one test: none of it is there.
"""

import json
import re
from typing import Any

import pytest

from tests.k8s.kustomize import Object, identity
from tests.k8s.objects import WORKLOADS, containers, named, of, pod_specs, pods, selects

KINDS = {
    "ConfigMap",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Job",
    "Namespace",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PrometheusRule",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceMonitor",
    "StatefulSet",
}


@pytest.fixture
def all_pods(objects: list[Object]) -> list[Any]:
    return list(pod_specs(objects))


@pytest.fixture
def all_containers(all_pods: list[Any]) -> list[Any]:
    return [container for pod in all_pods for container in containers(pod)]


def test_every_kind_of_object_is_checked_here(objects: list[Object]) -> None:
    assert {each["kind"] for each in objects} <= KINDS


def test_no_pod_uses_the_host(all_pods: list[Any]) -> None:
    """docker-sock, host-ipc, host-network, host-pid, sensitive-host-mounts, unsafe-sysctls, unsafe-proc-mount."""
    for pod in all_pods:
        assert not {"hostIPC", "hostNetwork", "hostPID", "hostUsers"} & set(pod)
        assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {"configMap", "secret", "emptyDir"}
        assert "sysctls" not in pod["securityContext"]
        assert "procMount" not in str(pod)


def test_pods_are_restricted(all_pods: list[Any]) -> None:
    """run-as-non-root, privilege-escalation-container, privileged-container, drop-net-raw-capability,
    no-read-only-root-fs; and what the pod security standard `restricted` adds."""
    for pod in all_pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_pods_have_an_account_of_their_own_and_no_token(objects: list[Object], all_pods: list[Any]) -> None:
    """default-service-account, deprecated-service-account-field, non-existent-service-account."""
    for pod in all_pods:
        assert "serviceAccount" not in pod
        account = named(objects, "ServiceAccount", pod["serviceAccountName"])
        assert account["automountServiceAccountToken"] is False
        assert pod["automountServiceAccountToken"] is False


def test_no_pod_is_given_variables_for_services(all_pods: list[Any]) -> None:
    """A Service called polystow would set POLYSTOW_PORT, which is a setting."""
    assert all(pod["enableServiceLinks"] is False for pod in all_pods)


def test_containers_declare_their_resources(all_containers: list[Any]) -> None:
    """unset-cpu-requirements, unset-memory-requirements."""
    for container in all_containers:
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_images_have_a_version(all_containers: list[Any]) -> None:
    """latest-tag."""
    for container in all_containers:
        assert re.fullmatch(r"[a-z-]+:[0-9]+\.[0-9]+\.[0-9]+(-[a-z]+)?", container["image"])


def test_variables_are_set_once_and_no_secret_is_in_clear_text(all_containers: list[Any]) -> None:
    """duplicate-env-var, env-var-secret, env-value-from."""
    for container in all_containers:
        variables = container.get("env", [])
        names = [variable["name"] for variable in variables]
        assert len(names) == len(set(names))
        for variable in variables:
            secret = re.search("SECRET|PASSWORD|TOKEN|KEY|AUTH|URL", variable["name"])
            assert not secret or "secretKeyRef" in str(variable) or "$(REDIS_PASSWORD)" in variable["value"]


def test_probes_go_to_ports_that_are_open(all_containers: list[Any]) -> None:
    """liveness-port, readiness-port, startup-port; ssh-port, privileged-ports."""
    for container in all_containers:
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        assert all(port >= 1024 for port in ports.values())
        probes = [probe for name, probe in container.items() if name.endswith("Probe")]
        asked = [probe.get("httpGet") or probe.get("tcpSocket") for probe in probes if "exec" not in probe]
        assert all(each["port"] in ports for each in asked)


def test_every_long_running_container_has_probes(objects: list[Object]) -> None:
    """no-liveness-probe, no-readiness-probe."""
    for each in of(objects, "Deployment", "StatefulSet"):
        for container in each["spec"]["template"]["spec"]["containers"]:
            assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container)


def test_selectors_match_their_pods(objects: list[Object]) -> None:
    """mismatching-selector."""
    for each in of(objects, "Deployment", "StatefulSet"):
        assert selects(each["spec"]["selector"]["matchLabels"], each["spec"]["template"])


def test_services_select_pods_with_their_ports(objects: list[Object], overlay: str) -> None:
    """dangling-service, invalid-target-ports, exposed-services."""
    for service in of(objects, "Service"):
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
        found = [template for template in pods(objects) if selects(service["spec"]["selector"], template)]
        assert found, service["metadata"]["name"]
        open_ports = {port["name"] for pod in found for port in pod["spec"]["containers"][0]["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in open_ports
            assert re.fullmatch("[a-z]{1,15}", port["targetPort"])


def test_policies_and_budgets_select_pods(objects: list[Object], overlay: str) -> None:
    """dangling-networkpolicy, dangling-horizontalpodautoscaler, pdb-unhealthy-pod-eviction-policy,
    pdb-max-unavailable, dangling-servicemonitor. The load test's pods meet the service of another overlay."""
    service: Any = {"metadata": {"labels": {"app.kubernetes.io/name": "polystow"}}}
    templates = [*pods(objects), service]
    for policy in of(objects, "NetworkPolicy"):
        assert any(selects(policy["spec"]["podSelector"]["matchLabels"], template) for template in templates)
    for budget in of(objects, "PodDisruptionBudget"):
        assert any(selects(budget["spec"]["selector"]["matchLabels"], template) for template in pods(objects))
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    for scaler in of(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in map(identity, objects)
        assert scaler["spec"]["minReplicas"] >= 3
    for monitor in of(objects, "ServiceMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"]
        (service,) = [s for s in of(objects, "Service") if labels.items() <= s["metadata"]["labels"].items()]
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_every_pod_is_under_a_policy_that_names_its_peers(objects: list[Object]) -> None:
    policies = of(objects, "NetworkPolicy")
    for template in pods(objects):
        over = [p["spec"] for p in policies if selects(p["spec"]["podSelector"]["matchLabels"], template)]
        assert {direction for policy in over for direction in policy["policyTypes"]} == {"Ingress", "Egress"}
        for policy in over:
            for rule in (*policy.get("ingress", []), *policy.get("egress", [])):
                assert rule["ports"]
                assert rule.get("from") or rule.get("to")


def test_pods_of_one_kind_are_spread(objects: list[Object]) -> None:
    """The check `no-anti-affinity`, for objects with several pods."""
    for each in of(objects, *WORKLOADS):
        spec = each["spec"]
        several = each["kind"] == "Deployment" or spec.get("replicas", spec.get("completions", 1)) > 1
        pod = spec["template"]["spec"]
        terms = pod.get("topologySpreadConstraints") or (pod.get("affinity", {}).get("podAntiAffinity"))
        assert bool(terms) == several
        if several:
            assert "kubernetes.io/hostname" in json.dumps(terms)


def test_jobs_end_and_are_removed(objects: list[Object]) -> None:
    """job-ttl-seconds-after-finished, restart-policy."""
    for job in of(objects, "Job"):
        assert job["spec"]["ttlSecondsAfterFinished"] > 0
        assert job["spec"]["template"]["spec"]["restartPolicy"] in ("Never", "OnFailure")


def test_every_object_has_the_common_labels(objects: list[Object]) -> None:
    for each in objects:
        if each["kind"] not in ("Namespace", "ConfigMap", "Secret"):
            assert each["metadata"]["labels"]["app.kubernetes.io/name"] in (
                "polystow",
                "redis",
                "redis-bootstrap",
                "loadtest",
            )
