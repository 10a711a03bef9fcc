"""What an installer of charts (Helm) does with its rendered YAML: CRDs and hooks first, waits, upgrades, rolls back, removes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.e2e.conftest import IMAGE, IMAGE_NEXT
from tests.e2e.manifests import deployment, pod
from tests.e2e.tour import manifest
from tests.support.cluster import Cluster

Obj = dict[str, Any]
Kubectl = Callable[..., str]


def owned(obj: Obj) -> Obj:
    """With the labels and annotations that an installer puts on everything."""
    metadata = obj["metadata"]
    metadata.setdefault("labels", {})["app.kubernetes.io/managed-by"] = "Helm"
    metadata.setdefault("annotations", {})["meta.helm.sh/release-name"] = "shop"
    return obj


def hook(when: str, command: str) -> Obj:
    """A Job that is run at a moment of the release and removed when it is done."""
    spec = {"template": {"spec": pod("hook", "sh", "-c", command, restartPolicy="Never")["spec"]}, "backoffLimit": 0}
    annotations = {"helm.sh/hook": when, "helm.sh/hook-delete-policy": "hook-succeeded"}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"shop-{when}", "annotations": annotations}}
    return {**job, "spec": spec}


def release(number: int, status: str) -> Obj:
    """The Secret that says what was released."""
    labels = {"owner": "helm", "name": "shop", "version": str(number), "status": status}
    stored = base64.b64encode(json.dumps({"version": number}).encode()).decode()
    metadata = {"name": f"sh.helm.release.v1.shop.v{number}", "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": metadata,
        "data": {"release": stored},
    }


def chart(image: str, *, colour: str, extra: bool) -> list[Obj]:
    """The rendered objects, in the order in which they are installed."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "shop"}}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop"}, "data": {"colour": colour}}
    more = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {}}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    sheet = [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "shop", "key": "colour"}}}]
    web = deployment("shop", image=image, serviceAccountName="shop", container={"env": sheet})
    shelf = {"apiVersion": f"{GROUP}/v1", "kind": "Shelf", "metadata": {"name": "first"}, "spec": {"boards": 3}}
    return [owned(obj) for obj in (account, settings, *([more] if extra else []), service, web, shelf)]


GROUP = "shop.example.com"
SCHEMA = {
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {"boards": {"type": "integer", "minimum": 1}}}},
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"shelves.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "shelves", "singular": "shelf", "kind": "Shelf"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
    },
}


def test_a_chart_is_installed_upgraded_rolled_back_and_removed(cluster: Cluster, kubectl: Kubectl) -> None:
    def run_hook(when: str, command: str = "true") -> None:
        kubectl("create", "-f", "-", stdin=manifest(hook(when, command)))
        kubectl("wait", f"job/shop-{when}", "--for=condition=Complete", "--timeout=60s")
        kubectl("delete", f"job/shop-{when}", "--cascade=background", "--timeout=30s")

    def ready() -> None:
        kubectl("rollout", "status", "deployment/shop", "--timeout=60s")

    def runs() -> list[str]:
        return kubectl("exec", "deployment/shop", "--", "sh", "-c", "echo $COLOUR; cat /version").split()

    cluster.apply(manifest(CRD))
    cluster.out("wait", f"crd/shelves.{GROUP}", "--for=condition=Established", "--timeout=30s")
    try:
        kubectl("create", "-f", "-", stdin=manifest(release(1, "pending-install")))
        run_hook("pre-install")
        first, second = chart(IMAGE, colour="red", extra=True), chart(IMAGE_NEXT, colour="blue", extra=False)
        kubectl("apply", "-f", "-", stdin=manifest(*first))
        ready()
        kubectl("apply", "-f", "-", stdin=manifest(release(1, "deployed")))
        assert runs() == ["red", "1"]

        # The next release: changed objects are patched, what it no longer has is deleted.
        kubectl("create", "-f", "-", stdin=manifest(release(2, "pending-upgrade")))
        run_hook("pre-upgrade")
        kubectl("apply", "-f", "-", stdin=manifest(*second))
        kubectl("delete", "configmap", "extra", "--cascade=background")
        ready()
        kubectl("label", "--overwrite", "secret", "sh.helm.release.v1.shop.v1", "status=superseded")
        kubectl("label", "--overwrite", "secret", "sh.helm.release.v1.shop.v2", "status=deployed")
        assert runs() == ["blue", "2"]
        now = kubectl("get", "secrets", "-l", "owner=helm,name=shop,status in (deployed)", "-o", "name")
        assert now.split() == ["secret/sh.helm.release.v1.shop.v2"]
        assert kubectl("get", "secret", "sh.helm.release.v1.shop.v2", "-o", "jsonpath={.type}") == "helm.sh/release.v1"

        # Back again, by applying what was.
        kubectl("apply", "-f", "-", stdin=manifest(*first))
        ready()
        assert runs() == ["red", "1"]
        assert kubectl("get", "configmap", "extra", "-o", "name").strip() == "configmap/extra"

        kubectl("delete", "-f", "-", "--timeout=60s", stdin=manifest(*reversed(first)))
        run_hook("post-delete")
        kubectl("wait", "pods", "-l", "app=shop", "--for=delete", "--timeout=30s")
        assert kubectl("get", "all,configmaps,shelves", "-l", "app.kubernetes.io/managed-by=Helm", "-o", "name") == ""
    finally:
        cluster.out("delete", "crd", f"shelves.{GROUP}", "--timeout=30s")


def test_a_hook_that_fails_is_told(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=manifest(hook("pre-install", "echo the database is not there; exit 3")))
    kubectl("wait", "job/shop-pre-install", "--for=condition=Failed", "--timeout=60s")
    assert "the database is not there" in kubectl("logs", "-l", "job-name=shop-pre-install", "--tail=1")
    told = kubectl("describe", "job", "shop-pre-install")
    assert "BackoffLimitExceeded" in told
