"""Priority: a pod's priorityClassName becomes its priority number; only one class is the default."""

from __future__ import annotations

from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup

GROUP = "scheduling.k8s.io"
_PREEMPT = "PreemptLowerPriority"


class Plugin:
    def __init__(self, env: Env) -> None:
        self._classes = Lookup(env.reader, GROUP, "priorityclasses")

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        if subresource or operation not in ("CREATE", "UPDATE"):
            return False
        return (group, plural) in (("", "pods"), (GROUP, "priorityclasses"))

    async def admit(self, a: Attributes) -> None:
        if a.plural != "pods" or a.obj is None:
            return
        spec = a.obj.setdefault("spec", {})
        if a.operation == "UPDATE":
            old = (a.old or {}).get("spec") or {}
            # Clients that know nothing of these fields drop them; the pod keeps what it was given.
            for name in ("priority", "preemptionPolicy"):
                if spec.get(name) is None and old.get(name) is not None:
                    spec[name] = old[name]
            return
        value, policy = await self._resolve(a, spec)
        if spec.get("priority") is not None and spec["priority"] != value:
            raise forbidden(
                a,
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority admission "
                f"controller computed {value} from the given PriorityClass name",
            )
        spec["priority"] = value
        if spec.get("preemptionPolicy") is not None and spec["preemptionPolicy"] != policy:
            raise forbidden(
                a,
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec["preemptionPolicy"] = policy

    async def _resolve(self, a: Attributes, spec: Obj) -> tuple[int, str]:
        name = spec.get("priorityClassName")
        if name:
            found = await self._classes.get(None, name)
            if found is None:
                raise forbidden(a, f"no PriorityClass with name {name} was found")
        else:
            found = await self._default()
            if found is None:
                return 0, _PREEMPT
            spec["priorityClassName"] = found["metadata"]["name"]
        return found.get("value", 0), found.get("preemptionPolicy") or _PREEMPT

    async def _default(self) -> Obj | None:
        """The class marked as default; of several (made at the same moment) the one of least value."""
        defaults = [c for c in await self._classes.list() if c.get("globalDefault")]
        return min(defaults, key=lambda c: int(c.get("value", 0)), default=None)

    async def validate(self, a: Attributes) -> None:
        if a.plural != "priorityclasses" or a.obj is None or not a.obj.get("globalDefault"):
            return
        default = await self._default()
        if default is None:
            return
        name = default["metadata"]["name"]
        if a.operation == "CREATE" or name != a.obj["metadata"].get("name"):
            raise forbidden(a, f"PriorityClass {name} is already marked as default. Only one default can exist")
