"""StatefulSets and DaemonSets."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.apps.daemonset import DaemonSet
from apiserver.kinds.apps.statefulset import StatefulSet
from tests.support.kindtest import KindTester, changed

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
SET: dict[str, Any] = {
    "metadata": {"name": "s"},
    "spec": {
        "selector": {"matchLabels": {"app": "a"}},
        "serviceName": "svc",
        "template": TEMPLATE,
        "volumeClaimTemplates": [
            {
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }
        ],
    },
}
FROZEN = (
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
tester = KindTester(StatefulSet())


def test_defaults() -> None:
    spec = tester.create(SET).obj["spec"]
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    claim = spec["volumeClaimTemplates"][0]
    assert (claim["kind"], claim["apiVersion"], claim["status"]) == (
        "PersistentVolumeClaim",
        "v1",
        {"phase": "Pending"},
    )


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({"spec.serviceName": "other"}, [FROZEN]),
        ({"spec.podManagementPolicy": "Parallel"}, [FROZEN]),
        ({"spec.replicas": 5, "spec.ordinals": {"start": 3}, "spec.minReadySeconds": 4}, []),
        ({"spec.updateStrategy": {"type": "OnDelete"}}, []),
    ],
)
def test_what_an_update_may_change(edits: dict[str, Any], errors: list[str]) -> None:
    assert tester.update(changed(SET, edits), tester.create(SET).obj).errors == errors


def test_strategy() -> None:
    edits = {"spec.updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": -1}}}
    assert tester.create(changed(SET, edits)).errors == [
        "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"
    ]


def test_daemon_sets() -> None:
    daemons = KindTester(DaemonSet())
    good = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}}
    old = daemons.create(good)
    assert old.errors == []
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    assert old.obj["spec"]["updateStrategy"] == strategy
    both = changed(good, {"spec.updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}})
    assert daemons.create(both).errors == [
        "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"
    ]
    changed_template = changed(good, {"spec.template.spec.containers[0].image": "new"})
    again = daemons.update(changed_template, old.obj)
    assert again.obj["metadata"]["generation"] == 2
