"""LimitPodHardAntiAffinityTopology: required anti-affinity between pods speaks of single nodes only."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation, forbidden

_HOSTNAME = "kubernetes.io/hostname"


class Plugin:
    def __init__(self, env: Env) -> None:
        pass

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and not group and plural == "pods" and not subresource

    async def validate(self, a: Attributes) -> None:
        affinity = ((a.obj or {}).get("spec") or {}).get("affinity") or {}
        terms = (affinity.get("podAntiAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for term in terms:
            if term.get("topologyKey") != _HOSTNAME:
                raise forbidden(
                    a,
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey "
                    f"{term.get('topologyKey', '')} but only key {_HOSTNAME} is allowed",
                )
