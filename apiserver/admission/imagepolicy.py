"""ImagePolicyWebhook: a server elsewhere says whether a pod's images may be run.

Its answers are remembered, allowances and refusals for their own times. Whether pods are let in while it cannot be asked is
configured; such a pod is noted for the audit.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.configscheme import ConfigError, Scheme, Types, parse_object
from apiserver.registry.kind import Obj
from apiserver.reviewclient import ReviewClient, ReviewFailed
from openapi.scalars import format_duration
from serving.expiring import Expiring

log = logging.getLogger(__name__)

_PREFIX = "imagepolicywebhook.image-policy.k8s.io/"
_CACHE = 1024
_MOST_KEPT = 10_000  # characters of a reason
_NS, _MS, _S = 1, 10**6, 10**9
_TYPES: Types = {  # texts name the outer type wherever the mistake is
    "AdmissionConfig": {"imagePolicy": ["#inner.AdmissionConfig", "imagePolicyWebhookConfig"]},
    "inner.AdmissionConfig": {
        "kubeConfigFile": ["s", "string"],
        "allowTTL": ["i64", "time.Duration"],
        "denyTTL": ["i64", "time.Duration"],
        "retryBackoff": ["i64", "time.Duration"],
        "defaultAllow": ["b", "bool"],
    },
}
_SCHEME = Scheme("", _TYPES, {}, strict=False)


@dataclass(frozen=True, slots=True)
class _Settings:
    """Seconds; 0 keeps nothing."""

    kubeconfig: str
    allow_ttl: float
    deny_ttl: float
    backoff: float
    fails_open: bool


class Plugin:
    def __init__(self, env: Env) -> None:
        self._settings = _load(env.configuration)
        if not self._settings.kubeconfig:
            text = "no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
            raise ConfigError(f"invalid configuration: {text}")
        self._answers: Expiring[bytes, Obj] = Expiring(env.clock, _CACHE)
        self._client = ReviewClient(
            Path(self._settings.kubeconfig),
            "imagepolicy.k8s.io/v1alpha1",
            "ImageReview",
            env.clock,
            backoff=self._settings.backoff,
        )

    async def close(self) -> None:
        await self._client.close()

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        wanted = ("", "ephemeralcontainers")
        return operation in ("CREATE", "UPDATE") and not group and plural == "pods" and subresource in wanted

    async def validate(self, a: Attributes) -> None:
        if a.obj is None:
            return
        spec = _review(a, a.obj)
        key = hashlib.sha256(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)).digest()
        status = self._answers.get(key)
        if status is None:
            try:
                status = await self._client.ask(spec)
            except ReviewFailed as error:
                self._without_answer(a, error)
                return
            ttl = self._settings.allow_ttl if status.get("allowed") else self._settings.deny_ttl
            if len(orjson.dumps(status)) < _MOST_KEPT:
                self._answers.put(key, status, ttl)
        for name, value in (status.get("auditAnnotations") or {}).items():
            a.annotations[_PREFIX + name] = str(value)
        if not status.get("allowed"):
            reason = status.get("reason")
            text = f"image policy webhook backend denied one or more images: {reason}"
            raise forbidden(a, text if reason else "one or more images rejected by webhook backend")

    def _without_answer(self, a: Attributes, error: ReviewFailed) -> None:
        log.warning("image policy webhook: %s", error)
        if not self._settings.fails_open:
            raise forbidden(a, str(error))
        a.annotations[_PREFIX + "failed-open"] = "true"


def _review(a: Attributes, pod: Obj) -> Obj:
    spec = pod.get("spec") or {}
    kinds = ("ephemeralContainers",) if a.subresource else ("containers", "initContainers")
    containers = [
        {"image": container["image"]} if container.get("image") else {}
        for kind in kinds
        for container in spec.get(kind) or ()
    ]
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    stated: dict[str, Any] = {
        "containers": containers,
        "annotations": {key: annotations[key] for key in sorted(annotations) if ".image-policy.k8s.io/" in key},
        "namespace": a.namespace or "",
    }
    return {key: value for key, value in stated.items() if value}


def _load(raw: bytes | None) -> _Settings:
    if raw is None:
        raise ConfigError("no config specified")
    parse_object(raw)
    stated = _SCHEME.read_as("AdmissionConfig", raw).get("imagePolicy") or {}
    return _Settings(
        backoff=_duration(stated.get("retryBackoff", 0), _MS, _NS, 300 * _S, 500 * _MS),
        allow_ttl=_duration(stated.get("allowTTL", 0), _S, _S, 1800 * _S, 300 * _S),
        deny_ttl=_duration(stated.get("denyTTL", 0), _S, _S, 1800 * _S, 30 * _S),
        kubeconfig=stated.get("kubeConfigFile") or "",
        fails_open=bool(stated.get("defaultAllow")),
    )


def _duration(value: int, scale: int, low: int, high: int, default: int) -> float:
    """Seconds. value: in units of scale nanoseconds; -1: none, 0: the default."""
    if value == -1:
        return 0.0
    nanoseconds = value * scale if value else default
    if value and not low <= nanoseconds <= high:
        shown = ", got ".join((f"{format_duration(low)} and {format_duration(high)}", format_duration(nanoseconds)))
        raise ConfigError(f"valid value is between {shown}")
    return nanoseconds / _S
