"""A small kopf operator for test_client_libraries.py: each Raft gets a ConfigMap that follows it; a Raft leaves with a goodbye.

Run by `python -m kopf run`; imports nothing of this project.
"""
# mypy: ignore-errors

from __future__ import annotations

from typing import Any

import kopf
import kubernetes_asyncio as kubernetes


@kopf.on.startup()
async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.finalizer = "rafts.example.com/operator"
    await kubernetes.config.load_kube_config()


@kopf.on.create("ships.example.com", "v1", "rafts")
async def create(body: kopf.Body, spec: kopf.Spec, name: str, namespace: str, retry: int, **_: Any) -> dict[str, Any]:
    if retry == 0:
        raise kopf.TemporaryError("the crew is not aboard yet", delay=0.1)
    log = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-log"},
        "data": {"crew": str(spec["crew"])},
    }
    kopf.adopt(log, owner=body)
    async with kubernetes.client.ApiClient() as api:
        await kubernetes.client.CoreV1Api(api).create_namespaced_config_map(namespace, log)
    kopf.info(body, reason="Launched", message="the raft is ready")
    return {"log": f"{name}-log"}


@kopf.on.field("ships.example.com", "v1", "rafts", field="spec.crew")
async def crew(old: int | None, new: int, name: str, namespace: str, patch: kopf.Patch, **_: Any) -> None:
    patch.status["crew"] = new
    if old is None:
        return
    async with kubernetes.client.ApiClient() as api:
        core = kubernetes.client.CoreV1Api(api)
        await core.patch_namespaced_config_map(f"{name}-log", namespace, {"data": {"crew": str(new)}})


@kopf.on.delete("ships.example.com", "v1", "rafts")
async def goodbye(name: str, namespace: str, **_: Any) -> None:
    last = {"metadata": {"name": f"{name}-goodbye"}}
    async with kubernetes.client.ApiClient() as api:
        await kubernetes.client.CoreV1Api(api).create_namespaced_config_map(namespace, last)


@kopf.timer("ships.example.com", "v1", "rafts", interval=0.5)
async def tick(patch: kopf.Patch, status: kopf.Status, **_: Any) -> None:
    patch.status["ticks"] = status.get("ticks", 0) + 1


@kopf.index("", "v1", "configmaps")
async def logs(name: str, **_: Any) -> dict[str, str]:
    return {name: "seen"}
