"""Pod Security Standards: what each level refuses, in the original's words."""

from __future__ import annotations

from typing import Any

import pytest

from apimachinery.errors import ApiError
from apiserver.admission.podsecurity import checks, policy
from apiserver.admission.podsecurity.policy import LATEST, Standard
from tests.apiserver.admission.support import Obj, World, pod

GOOD_CONTAINER = {
    "name": "c",
    "image": "i",
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
GOOD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def judge(level: str, spec: Obj, minor: int = LATEST, **meta: Any) -> str:
    return checks.describe(checks.evaluate(Standard(level, minor), meta, spec))


def container(**context: Any) -> Obj:
    return {"containers": [{"name": "c", "image": "i", "securityContext": context}]}


def test_levels() -> None:
    plain = {"containers": [{"name": "c", "image": "i"}]}
    assert judge("privileged", {**plain, "hostNetwork": True}) == ""
    assert judge("baseline", plain) == ""
    assert judge("restricted", plain) == (
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )
    assert judge("restricted", {"containers": [GOOD_CONTAINER], "securityContext": GOOD}) == ""


@pytest.mark.parametrize(
    ("spec", "finding"),
    [
        ({"hostNetwork": True, "hostPID": True}, "host namespaces (hostNetwork=true, hostPID=true)"),
        (container(privileged=True), 'privileged (container "c" must not set securityContext.privileged=true)'),
        (
            container(capabilities={"add": ["NET_ADMIN", "CHOWN"]}),
            'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
        ),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, 'hostPath volumes (volume "v")'),
        (
            {"containers": [{"name": "a", "ports": [{"hostPort": 80}]}, {"name": "b", "ports": [{"hostPort": 81}]}]},
            'hostPort (containers "a", "b" use hostPorts 80, 81)',
        ),
        (
            container(procMount="Unmasked"),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            {"securityContext": {"seLinuxOptions": {"type": "x_t", "user": "u"}}},
            'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x_t"; user may not be set)',
        ),
        (
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}, "forbidden sysctls (kernel.msgmax)"),
        (
            container(windowsOptions={"hostProcess": True}),
            'hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)',
        ),
        (
            {"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}]},
            'probe or lifecycle host (container "c" uses probe or lifecycle host "10.0.0.1")',
        ),
        (
            container(appArmorProfile={"type": "Unconfined"}),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
        ),
    ],
)
def test_baseline(spec: Obj, finding: str) -> None:
    assert judge("baseline", spec) == finding


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (
            {"volumes": [{"name": "v", "nfs": {}}]},
            'restricted volume types (volume "v" uses restricted volume type "nfs")',
        ),
        ({"securityContext": {**GOOD, "runAsUser": 0}}, "runAsUser=0 (pod must not set runAsUser=0)"),
        (
            {"securityContext": {**GOOD, "runAsNonRoot": False}},
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
    ],
)
def test_restricted(change: Obj, finding: str) -> None:
    assert judge("restricted", {"containers": [GOOD_CONTAINER], "securityContext": GOOD, **change}) == finding


def test_versions() -> None:
    windows = {**container(), "os": {"name": "windows"}, "securityContext": {"runAsNonRoot": True}}
    assert judge("restricted", windows) == ""
    assert "allowPrivilegeEscalation" in judge("restricted", windows, 24)
    namespaced = {
        "containers": [GOOD_CONTAINER],
        "securityContext": {"seccompProfile": {"type": "Localhost"}},
        "hostUsers": False,
    }
    assert judge("restricted", namespaced) == ""
    assert "runAsNonRoot" in judge("restricted", namespaced, 34)


def test_labels() -> None:
    found, problems = policy.of_labels(
        {policy.PREFIX + "enforce": "baseline", policy.PREFIX + "enforce-version": "v1.30"}
    )
    assert (str(found.enforce), str(found.warn), problems) == ("baseline:v1.30", "baseline:v1.30", [])
    found, problems = policy.of_labels({policy.PREFIX + "enforce": "strict", policy.PREFIX + "warn-version": "1.2"})
    assert str(found.enforce) == "restricted:latest"
    assert [str(p) for p in problems] == [
        'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": '
        "must be one of privileged, baseline, restricted",
        'metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"',
    ]


def namespace(**modes: str) -> Obj:
    labels = {policy.PREFIX + mode: level for mode, level in modes.items()}
    return {"metadata": {"name": "ns", "labels": labels}, "status": {"phase": "Active"}}


async def test_enforce_warn_and_audit() -> None:
    world = World()
    world.put("namespaces", namespace(enforce="baseline", warn="restricted", audit="restricted"))
    a = await world.run("CREATE", "pods", pod())
    assert a.warnings[0].startswith('would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false')
    assert "pod-security.kubernetes.io/audit-violations" in a.annotations
    with pytest.raises(ApiError) as caught:
        await world.create_pod(hostNetwork=True)
    assert caught.value.message == (
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
    template = {"metadata": {"name": "d"}, "spec": {"template": {"spec": pod(hostNetwork=True)["spec"]}}}
    a = await world.run("CREATE", "deployments", template, group="apps")
    assert "host namespaces" in a.warnings[0]


async def test_updates_that_change_nothing_of_interest_pass() -> None:
    world = World(only=True, *["PodSecurity"])  # noqa: B026
    world.put("namespaces", namespace(enforce="baseline"))
    old = pod(hostNetwork=True)
    assert await world.run("UPDATE", "pods", {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}, old)
    new = pod(hostNetwork=True, containers=[{"name": "c", "image": "other"}])
    with pytest.raises(ApiError, match="violates PodSecurity"):
        await world.run("UPDATE", "pods", new, old)


async def test_raising_a_namespaces_level_warns_of_what_runs() -> None:
    world = World()
    for name in ("b", "a"):
        world.put("pods", pod(name, hostNetwork=True))
    a = await world.run("UPDATE", "namespaces", namespace(enforce="baseline"), namespace(), namespace=None)
    assert a.warnings == [
        'existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 1 other pod): host namespaces",
    ]
    with pytest.raises(ApiError) as caught:
        await world.run("CREATE", "namespaces", namespace(enforce="x"), namespace=None)
    assert caught.value.code == 422
