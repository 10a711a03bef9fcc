"""The cluster's CA certificate as the ConfigMap kube-root-ca.crt in every namespace, for pods to trust the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery import meta
from apimachinery.errors import ApiError
from client.resources import CONFIG_MAPS, NAMESPACES
from controllers.base import EVENTS_RULE, Controller, Result, Rule, namespace_terminating

Obj = dict[str, Any]

NAME = "kube-root-ca.crt"
DESCRIPTION_KEY = "kubernetes.io/description"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal "
    "service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


class RootCaPublisher(Controller):
    name = "root-ca-certificate-publisher-controller"
    aliases = ("root-ca-cert-publisher",)
    source = "root-ca-cert-publisher"
    rules: ClassVar[Sequence[Rule]] = (Rule(("",), ("configmaps",), ("create", "update")), EVENTS_RULE)

    def setup(self) -> None:
        self._certificate = ""
        self._namespaces = self.watch(
            NAMESPACES, added=self.enqueue_object, updated=lambda old, new: self.enqueue_object(new)
        )
        # Only the published ones: a cache of every ConfigMap would cost memory for nothing.
        self._maps = self.watch(
            CONFIG_MAPS,
            field_selector=f"metadata.name={NAME}",
            updated=lambda old, new: self.enqueue(meta.namespace(new)),
            deleted=lambda obj: self.enqueue(meta.namespace(obj)),
        )

    async def reconcile(self, key: str) -> Result | None:
        path = self.config.root_ca_file
        if path is None:
            return None
        if not self._certificate:
            self._certificate = await asyncio.to_thread(path.read_text)
        namespace = self._namespaces.get(key)
        if namespace is None or (namespace.get("status") or {}).get("phase") == "Terminating":
            return None
        present = self._maps.find(key, NAME)
        data = {"ca.crt": self._certificate}
        if present is None:
            metadata = {"name": NAME, "namespace": key, "annotations": {DESCRIPTION_KEY: DESCRIPTION}}
            try:
                await self.client.create(CONFIG_MAPS, {"metadata": metadata, "data": data})
            except ApiError as error:
                if error.reason != "AlreadyExists" and not namespace_terminating(error):
                    raise
            return None
        annotations = meta.annotations(present)
        if present.get("data") == data and annotations.get(DESCRIPTION_KEY):
            return None
        metadata = {**present["metadata"], "annotations": {DESCRIPTION_KEY: DESCRIPTION, **annotations}}
        await self.client.update(CONFIG_MAPS, {**present, "metadata": metadata, "data": data})
        return None
