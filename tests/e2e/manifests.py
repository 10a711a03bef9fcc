"""Manifests that several end-to-end tests apply."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.conftest import IMAGE

Obj = dict[str, Any]


def pod(name: str, *command: str, image: str = IMAGE, **spec: Any) -> Obj:
    """A pod with one container "main"; `container` adds to the container, everything else to the spec."""
    container = {"name": "main", "image": image, "command": list(command) or ["sleep", "3600"]} | spec.pop(
        "container", {}
    )
    body = {"containers": [container], "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": body}


def deployment(name: str, *command: str, replicas: int = 1, image: str = IMAGE, **spec: Any) -> Obj:
    """A Deployment of such pods; `deployment` adds to the Deployment's spec."""
    more = spec.pop("deployment", {})
    template = pod(name, *command, image=image, **spec)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
            **more,
        },
    }


def text(*objects: Obj) -> str:
    """For kubectl apply -f -."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
