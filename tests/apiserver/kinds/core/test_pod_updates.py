"""What may change in a stored pod, and by which subresource; how one is bound and how long its deletion takes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apimachinery.errors import ApiError
from apiserver.kinds.core import pod_binding
from apiserver.kinds.core.pod import POD
from apiserver.registry.kind import Obj
from tests.support.kindtest import GONE, KindTester, changed

tester = KindTester(POD)
POD_OBJECT: Obj = {
    "metadata": {"name": "p"},
    "spec": {
        "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}],
        "initContainers": [{"name": "init", "image": "i"}],
        "tolerations": [{"key": "a", "operator": "Exists"}],
    },
}
GATED = changed(POD_OBJECT, {"spec.schedulingGates": [{"name": "a"}, {"name": "b"}]})
FIELDS = "spec: Forbidden: pod updates may not change fields other than "
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def made(obj: Obj = POD_OBJECT, **edits: Any) -> Obj:
    return changed(tester.create(obj).obj, edits)


def refused(edits: dict[str, Any], given: Obj = POD_OBJECT, subresource: str = "") -> list[str]:
    return [
        error.partition("\n")[0]
        for error in tester.update(changed(given, edits), made(given), subresource=subresource).errors
    ]


# -- creation


def test_a_new_pod_has_a_status() -> None:
    pod = tester.create(changed(POD_OBJECT, {"status": {"phase": "Running"}})).obj
    assert pod["status"] == {"phase": "Pending", "qosClass": "Burstable"}
    assert pod["metadata"]["generation"] == 1


def test_gates_are_a_condition() -> None:
    (condition,) = made(GATED)["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")
    assert condition["message"] == "Scheduling is blocked due to non-empty scheduling gates"


def test_label_keys_become_requirements() -> None:
    term = {"topologyKey": "k", "labelSelector": {}, "matchLabelKeys": ["a", "z"], "mismatchLabelKeys": ["b"]}
    spread = {"maxSkew": 1, "topologyKey": "k", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    edits = {
        "metadata.labels": {"a": "1", "b": "2"},
        "spec.affinity": {"podAffinity": {REQUIRED: [term]}},
        "spec.topologySpreadConstraints": [{**spread, "matchLabelKeys": ["a"]}],
    }
    spec = made(changed(POD_OBJECT, edits))["spec"]
    expression = {"key": "a", "operator": "In", "values": ["1"]}
    assert spec["affinity"]["podAffinity"][REQUIRED][0]["labelSelector"] == {
        "matchExpressions": [expression, {"key": "b", "operator": "NotIn", "values": ["2"]}]
    }
    assert spec["topologySpreadConstraints"][0]["labelSelector"] == {"matchExpressions": [expression]}


def test_profiles_in_annotations_become_fields() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/c"
    pod = made(changed(POD_OBJECT, {"metadata.annotations": {key: "localhost/own"}}))
    assert pod["spec"]["containers"][0]["securityContext"]["appArmorProfile"] == {
        "type": "Localhost",
        "localhostProfile": "own",
    }


# -- updates


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({"spec.containers[0].image": "other", "spec.initContainers[0].image": "other"}, []),
        ({"spec.containers[0].image": "other "}, None),
        ({"spec.activeDeadlineSeconds": 5}, []),
        ({"spec.activeDeadlineSeconds": -1}, None),
        ({"spec.tolerations[1]": {"key": "b", "operator": "Exists"}}, []),
        ({"spec.tolerations[0].tolerationSeconds": 5, "spec.tolerations[0].effect": "NoExecute"}, None),
        (
            {"spec.tolerations": []},
            ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
        ),
        (
            {"spec.containers[1]": {"name": "d", "image": "i"}},
            ["spec.containers: Forbidden: pod updates may not add or remove containers"],
        ),
        ({"spec.nodeName": "n"}, [FIELDS]),
        ({"spec.containers[0].command": ["x"]}, [FIELDS]),
        ({"spec.containers[0].resources": {"requests": {"cpu": "2"}}}, [FIELDS]),
        ({"spec.containers[0].resources": {"requests": {"cpu": "1000m"}}}, []),
        ({"spec.terminationGracePeriodSeconds": 1}, [FIELDS]),
        ({"spec.restartPolicy": "Never"}, [FIELDS]),
        (
            {"spec.schedulingGates": [{"name": "x"}]},
            ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'x'"],
        ),
    ],
)
def test_updates(edits: dict[str, Any], errors: list[str] | None) -> None:
    found = refused(edits)
    if errors is None:
        assert found
    else:
        assert [error[: len(FIELDS)] if error.startswith(FIELDS) else error for error in found] == errors


def test_the_fields_that_may_change_are_named() -> None:
    (error,) = tester.update(changed(POD_OBJECT, {"spec.priority": 5}), made()).errors
    assert error.startswith(
        FIELDS + "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
        "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
        "(allow it to be set to 1 if it was previously negative)\n@@ "
    )


@pytest.mark.parametrize(
    ("now", "error"),
    [
        (5, ""),
        (20, "spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"),
        (GONE, "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"),
    ],
)
def test_deadlines_only_shorten(now: Any, error: str) -> None:
    given = changed(POD_OBJECT, {"spec.activeDeadlineSeconds": 10})
    found = tester.update(changed(given, {"spec.activeDeadlineSeconds": now}), made(given)).errors
    assert found[:1] == ([error] if error else [])


def test_a_negative_grace_may_become_one() -> None:
    old = changed(made(), {"spec.terminationGracePeriodSeconds": -5})
    assert tester.update(changed(POD_OBJECT, {"spec.terminationGracePeriodSeconds": 1}), old).errors == []


def terms(*expressions: Obj) -> dict[str, Any]:
    return {
        "spec.affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}}}
    }


A = {"key": "a", "operator": "Exists"}
B = {"key": "b", "operator": "Exists"}


@pytest.mark.parametrize(
    ("before", "edits", "allowed"),
    [
        ({}, {"spec.schedulingGates": [{"name": "b"}]}, True),
        ({}, {"spec.nodeSelector": {"a": "b"}}, True),
        ({"spec.nodeSelector": {"a": "b"}}, {"spec.nodeSelector": {"a": "c"}}, False),
        ({}, terms(A), True),
        (terms(A), terms(A, B), True),
        (terms(A), terms(B), False),
        (terms(A), {"spec.affinity": GONE}, False),
        ({}, {"spec.containers[0].command": ["x"]}, False),
    ],
)
def test_gated_pods_may_be_narrowed(before: dict[str, Any], edits: dict[str, Any], allowed: bool) -> None:
    assert (refused(edits, changed(GATED, before)) == []) is allowed


def test_ungated_pods_may_not() -> None:
    assert refused({"spec.nodeSelector": {"a": "b"}})[0].startswith(FIELDS)


# -- status


def ended(code: int, name: str = "c") -> Obj:
    return {"name": name, "image": "i", "state": {"terminated": {"exitCode": code}}}


RUNNING = {"name": "c", "image": "i", "state": {"running": {}}}


@pytest.mark.parametrize(
    ("policy", "code", "allowed"),
    [("Always", 0, True), ("OnFailure", 1, True), ("OnFailure", 0, False), ("Never", 1, False)],
)
def test_ended_containers_restart_by_policy(policy: str, code: int, allowed: bool) -> None:
    given = changed(POD_OBJECT, {"spec.restartPolicy": policy})
    old = made(given, **{"status.containerStatuses": [ended(code)]})
    new = changed(given, {"status": {"containerStatuses": [RUNNING]}})
    found = tester.update(new, old, subresource="status").errors
    text = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    assert found == ([] if allowed else [text])


@pytest.mark.parametrize(
    ("status", "errors"),
    [
        ({"phase": "Running", "podIP": "10.0.0.1"}, []),
        ({"qosClass": "Guaranteed"}, ['status.qosClass: Invalid value: "Guaranteed": field is immutable']),
        ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}, None),
        ({"podIPs": [{"ip": "x"}]}, None),
        ({"nominatedNodeName": "A"}, None),
        ({"conditions": [{"type": "a b", "status": "True"}]}, None),
    ],
)
def test_status_updates(status: Obj, errors: list[str] | None) -> None:
    found = tester.update(changed(POD_OBJECT, {"status": status}), made(), subresource="status").errors
    assert found == errors if errors is not None else found


def test_addresses_come_in_step() -> None:
    new = changed(POD_OBJECT, {"status": {"podIP": "10.0.0.1"}})
    assert tester.update(new, made(), subresource="status").obj["status"]["podIPs"] == [{"ip": "10.0.0.1"}]


# -- ephemeral containers


DEBUG: Obj = {"name": "dbg", "image": "b"}


def test_ephemeral_containers_are_added_only() -> None:
    with_one = changed(POD_OBJECT, {"spec.ephemeralContainers": [DEBUG]})
    old = made()
    outcome = tester.update(changed(with_one, {"spec.nodeName": "x"}), old, subresource="ephemeralcontainers")
    assert outcome.errors == []
    assert "nodeName" not in outcome.obj["spec"]
    again = changed(with_one, {"spec.ephemeralContainers[0].image": "other"})
    (error,) = tester.update(again, outcome.obj, subresource="ephemeralcontainers").errors
    assert error.startswith(
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "dbg" may not be changed\n'
    )
    (error,) = tester.update(POD_OBJECT, outcome.obj, subresource="ephemeralcontainers").errors
    assert error.startswith(
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "dbg" may not be removed'
    )
    assert refused({"spec.ephemeralContainers": [DEBUG]})[0].startswith(FIELDS)


@pytest.mark.parametrize("name", ["c", "init"])
def test_ephemeral_containers_have_names_of_their_own(name: str) -> None:
    found = refused({"spec.ephemeralContainers": [{**DEBUG, "name": name}]}, subresource="ephemeralcontainers")
    assert found == [f'spec.ephemeralContainers[0].name: Duplicate value: "{name}"']


# -- resize


def test_a_resize_changes_resources() -> None:
    new = changed(
        POD_OBJECT, {"spec.containers[0].resources": {"requests": {"cpu": "2"}}, "spec.containers[0].image": "x"}
    )
    outcome = tester.update(new, made(), subresource="resize")
    assert outcome.errors == []
    assert outcome.obj["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "2"}}
    assert outcome.obj["spec"]["containers"][0]["image"] == "i"
    assert outcome.obj["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    "edits",
    [
        {"spec.containers[0].resources": {"requests": {"cpu": "2", "ephemeral-storage": "1Gi"}}},
        {"spec.containers[0].resources": {}},
        {"spec.containers[0].resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "-1"}}},
        {"spec.containers[0].name": "other"},
        {"spec.containers[1]": {"name": "d", "image": "i"}},
    ],
)
def test_what_a_resize_may_not(edits: dict[str, Any]) -> None:
    assert refused(edits, subresource="resize")


def test_the_class_of_service_stays() -> None:
    given = changed(POD_OBJECT, {"spec.containers[0].resources": {}})
    edits = {"spec.containers[0].resources": {"requests": {"cpu": "1"}}}
    assert refused(edits, given, "resize")[0] == (
        'spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing'
    )


# -- binding, deletion


def binding(**target: Any) -> Obj:
    return {"metadata": {"name": "p", "labels": {"x": "y"}}, "target": target}


@pytest.mark.parametrize(
    ("target", "errors"),
    [
        ({"name": "n"}, []),
        ({"kind": "Node", "name": "n"}, []),
        (
            {"kind": "Pod"},
            [
                'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
                "target.name: Required value",
            ],
        ),
    ],
)
def test_bindings(target: dict[str, Any], errors: list[str]) -> None:
    assert [str(error) for error in pod_binding.validate_binding(binding(**target))] == errors


def test_a_bound_pod_is_scheduled() -> None:
    pod = made()
    pod_binding.bind(pod, binding(name="n"), tester.clock)
    assert pod["spec"]["nodeName"] == "n"
    assert pod["metadata"]["labels"] == {"x": "y"}
    (condition,) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["lastProbeTime"]) == ("PodScheduled", "True", None)


@pytest.mark.parametrize(
    ("edits", "text"),
    [
        ({"spec.nodeName": "m"}, 'pod p is already assigned to node "m"'),
        (
            {"metadata.deletionTimestamp": "2020-01-01T00:00:00Z"},
            "pod p is being deleted, cannot be assigned to a host",
        ),
        ({"spec.schedulingGates": [{"name": "a"}]}, "pod p has non-empty .spec.schedulingGates"),
    ],
)
def test_pods_that_cannot_be_bound(edits: dict[str, Any], text: str) -> None:
    pod = made(**edits)
    before = copy.deepcopy(pod)
    with pytest.raises(ApiError) as caught:
        pod_binding.bind(pod, binding(name="n"), tester.clock)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    assert caught.value.message.endswith(text)
    assert pod == before


@pytest.mark.parametrize(
    ("edits", "options", "expected"),
    [
        ({}, {}, 0),
        ({"spec.nodeName": "n"}, {}, 30),
        ({"spec.nodeName": "n"}, {"gracePeriodSeconds": 5}, 5),
        ({"spec.nodeName": "n"}, {"gracePeriodSeconds": -1}, 1),
        ({"spec.nodeName": "n", "status.phase": "Failed"}, {}, 0),
        ({"spec.nodeName": "n", "status.phase": "Succeeded"}, {"gracePeriodSeconds": 5}, 0),
    ],
)
def test_grace(edits: dict[str, Any], options: Obj, expected: int) -> None:
    assert POD.grace_period(made(**edits), options) == expected
