"""PodTolerationRestriction: tolerations that pods get and may have, by their namespace's annotations or the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apimachinery import errors, pods
from apimachinery.field import go_quote
from apiserver.admission.base import Attributes, Env, Operation
from apiserver.admission.runtimeclass import covers, merge_tolerations
from apiserver.configscheme import ConfigError, Entry, Scheme, Types
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup
from apiserver.registry.metadata import plain_failure
from apiserver.validation.pod.scheduling import validate_tolerations
from openapi import codec, schemas

DEFAULTS = "scheduler.alpha.kubernetes.io/defaultTolerations"
ALLOWED = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_MEMORY_PRESSURE = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}
_TOLERATIONS = [["l", "#Toleration", "atomic"], "[]v1.Toleration"]
_TYPES: Types = {
    "Configuration": {"default": _TOLERATIONS, "whitelist": _TOLERATIONS},
    "Toleration": {
        **{name: ["s", "string"] for name in ("key", "operator", "value", "effect")},
        "tolerationSeconds": ["i64", "*int64"],
    },
}
_SCHEME = Scheme(
    "pkg/admission/podtolerationrestriction/config.go:31",
    _TYPES,
    {("podtolerationrestriction.admission.k8s.io/v1alpha1", "Configuration"): Entry("Configuration", "")},
    strict=False,
)


@dataclass(frozen=True, slots=True)
class _Configured:
    """For namespaces that say nothing themselves."""

    default: Sequence[Obj] = ()
    allowed: Sequence[Obj] = ()


class Plugin:
    def __init__(self, env: Env) -> None:
        self._namespaces = Lookup(env.reader, "", "namespaces")
        self._configured = _load(env.configuration)

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and not group and plural == "pods" and not subresource

    async def _annotated(self, a: Attributes, name: str) -> list[Obj] | None:
        """The tolerations in an annotation of the namespace; None without it."""
        namespace = await self._namespaces.get(None, a.namespace or "")
        if namespace is None:
            raise errors.internal_error(f"namespace {go_quote(a.namespace or '')} not found")
        text = (namespace["metadata"].get("annotations") or {}).get(name)
        if not text:
            return [] if text == "" else None
        info = schemas.load().of(["l", "#io.k8s.api.core.v1.Toleration", "atomic"])
        try:
            parsed = codec.parse_json(text.encode())
            if not isinstance(parsed.obj, list | None):
                what = {dict: "object", str: "string", bool: "bool"}.get(type(parsed.obj), "number")
                raise plain_failure(f"json: cannot unmarshal {what} into Go value of type []v1.Toleration")
            found, _ = codec.decode(info, parsed) if parsed.obj else ([], [])
        except (codec.ParseError, codec.DecodeError) as error:
            raise plain_failure(str(error)) from error
        return list(found)

    async def admit(self, a: Attributes) -> None:
        if a.obj is None:
            return
        spec = a.obj.setdefault("spec", {})
        extra: list[Obj] = []
        if a.operation == "CREATE":
            stated = await self._annotated(a, DEFAULTS)
            extra.extend(self._configured.default if stated is None else stated)
        if pods.qos_class(a.obj) != pods.BEST_EFFORT:
            extra.append(_MEMORY_PRESSURE)
        if extra:
            mine = list(spec.get("tolerations") or ())
            spec["tolerations"] = merge_tolerations(mine, [dict(toleration) for toleration in extra])
        await self.validate(a)

    async def validate(self, a: Attributes) -> None:
        tolerations = ((a.obj or {}).get("spec") or {}).get("tolerations") or ()
        if not tolerations:
            return
        stated = await self._annotated(a, ALLOWED)
        allowed = self._configured.allowed if stated is None else stated
        if allowed and not all(any(covers(limit, toleration) for limit in allowed) for toleration in tolerations):
            whose = "cluster" if stated is None else "namespace"
            text = "pod tolerations (possibly merged with namespace default tolerations) conflict with its"
            raise plain_failure(f"{text} {whose} whitelist")


def _load(raw: bytes | None) -> _Configured:
    if raw is None:
        return _Configured()
    stated = _SCHEME.read(raw).obj
    default, allowed = stated.get("default") or [], stated.get("whitelist") or []
    path = "podtolerationrestriction"
    problems = validate_tolerations(default, f"{path}.default") + validate_tolerations(allowed, f"{path}.whitelist")
    if problems:
        raise ConfigError(f"invalid config: [{' '.join(map(str, problems))}]")
    return _Configured(default, allowed)
