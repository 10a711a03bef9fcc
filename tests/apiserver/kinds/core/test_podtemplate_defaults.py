"""Defaults of pods and pod templates."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.admission import serviceaccount
from apiserver.kinds.core.pod import POD
from apiserver.kinds.core.pod_template import POD_TEMPLATE
from apiserver.registry.kind import Obj
from apiserver.validation.pod.volumes import API_ACCESS
from tests.support.kindtest import KindTester, changed

pods = KindTester(POD)
POD_OBJECT: Obj = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def spec(edits: dict[str, Any]) -> Obj:
    out: Obj = pods.decode(changed(POD_OBJECT, edits))["spec"]
    return out


def container(**fields: Any) -> Obj:
    out: Obj = spec({f"spec.containers[0].{name}": value for name, value in fields.items()})["containers"][0]
    return out


def test_a_minimal_pod() -> None:
    assert spec({}) == {
        "containers": [
            {
                "name": "c",
                "image": "i",
                "imagePullPolicy": "Always",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("i", "Always"),
        ("i:latest", "Always"),
        ("i:1", "IfNotPresent"),
        ("host:5000/i", "Always"),
        ("host:5000/i:1", "IfNotPresent"),
        ("i@sha256:" + "0" * 64, "IfNotPresent"),
        ("not an image", "IfNotPresent"),
    ],
)
def test_pull_policies(image: str, policy: str) -> None:
    assert container(image=image)["imagePullPolicy"] == policy


def test_probes_hooks_ports_and_environment() -> None:
    made = container(
        ports=[{"containerPort": 1}],
        livenessProbe={"httpGet": {"port": 1}, "periodSeconds": 3},
        readinessProbe={"grpc": {"port": 1}},
        lifecycle={"postStart": {"httpGet": {"port": 1}}},
        env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    )
    assert made["ports"] == [{"containerPort": 1, "protocol": "TCP"}]
    assert made["livenessProbe"] == {
        "httpGet": {"port": 1, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 3,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert made["readinessProbe"]["grpc"] == {"port": 1, "service": ""}
    assert made["lifecycle"]["postStart"]["httpGet"]["scheme"] == "HTTP"
    assert made["env"][0]["valueFrom"]["fieldRef"] == {"apiVersion": "v1", "fieldPath": "metadata.name"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, {"cpu": "1", "memory": "1Gi"}),
        ({"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}}, {"cpu": "1", "memory": "1Gi"}),
        ({"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}, {"cpu": "500m"}),
        ({"requests": {"cpu": "0.0001"}}, {"cpu": "1m"}),
    ],
)
def test_requests_follow_limits(given: Obj, expected: Obj) -> None:
    assert container(resources=given)["resources"]["requests"] == expected


def test_host_ports_follow_container_ports_on_the_host_network() -> None:
    made = spec({"spec.hostNetwork": True, "spec.containers[0].ports": [{"containerPort": 80}]})
    assert made["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


def test_accounts_have_an_old_name() -> None:
    assert spec({"spec.serviceAccount": "a"})["serviceAccountName"] == "a"
    assert spec({"spec.serviceAccountName": "a"})["serviceAccount"] == "a"


@pytest.mark.parametrize(("given", "grace"), [(0, 0), (-5, 1), (7, 7)])
def test_grace(given: int, grace: int) -> None:
    assert spec({"spec.terminationGracePeriodSeconds": given})["terminationGracePeriodSeconds"] == grace


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"emptyDir": {}}),
        ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
        ({"hostPath": {"path": "/"}}, {"hostPath": {"path": "/", "type": ""}}),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                    "defaultMode": 420,
                }
            },
        ),
        ({"image": {"reference": "i:1"}}, {"image": {"reference": "i:1", "pullPolicy": "IfNotPresent"}}),
        (
            {"rbd": {"monitors": ["a"], "image": "i"}},
            {"rbd": {"monitors": ["a"], "image": "i", "pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}},
        ),
    ],
)
def test_volumes(given: Obj, expected: Obj) -> None:
    made = spec({"spec.volumes": [{"name": "v", **given}]})["volumes"][0]
    assert made == {"name": "v", **expected}


def test_pod_level_resources() -> None:
    made = spec({"spec.resources": {"limits": {"cpu": "2", "memory": "1Gi"}}})
    assert made["resources"]["requests"] == {"cpu": "2", "memory": "1Gi"}


def test_templates_get_the_same_but_for_what_pods_alone_have() -> None:
    templates = KindTester(POD_TEMPLATE)
    made = templates.create({"metadata": {"name": "t"}, "template": {"spec": POD_OBJECT["spec"]}})
    assert made.errors == []
    assert made.obj["template"]["spec"]["restartPolicy"] == "Always"
    assert "enableServiceLinks" not in made.obj["template"]["spec"]
    faulty = changed(made.obj, {"template.spec.containers[0].image": ""})
    assert templates.update(faulty, made.obj).errors == ["template.spec.containers[0].image: Required value"]


def test_what_admission_adds_is_known_to_be_good() -> None:
    assert serviceaccount.token_projection() == API_ACCESS
    made = pods.create(
        changed(POD_OBJECT, {"spec.serviceAccountName": "a", "spec.volumes": [{"name": "v", "projected": API_ACCESS}]})
    )
    assert (made.errors, made.warnings) == ([], [])
