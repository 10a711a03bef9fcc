"""POST pods/<name>/eviction: a deletion that PodDisruptionBudgets may refuse.

The budget is charged before the pod is deleted, so that two evictions cannot both use its last allowance.
"""

from __future__ import annotations

from apimachinery import errors, pods, selectors, times
from apimachinery.errors import ApiError
from apiserver.filters.base import Request
from apiserver.handlers import options
from apiserver.handlers.scope import Expected, Scope
from apiserver.handlers.subresources import body
from apiserver.registry.kind import Obj
from apiserver.registry.registry import SERVER_USER
from apiserver.registry.store import Write
from serving.reply import Reply

_EXPECTED = Expected("Eviction", "policy", "v1", also=("policy/v1beta1",))
_MANAGER = "kube-apiserver"
_MAX_DISRUPTED = 2000
_RETRY = 10


async def evict(scope: Scope, request: Request) -> Reply:
    """201 when the pod is (being) deleted; 429 when a budget does not allow it now."""
    posted = await body.read(scope, request, _EXPECTED)
    name, namespace = request.info.name, request.info.namespace
    if posted.obj["metadata"].get("name") != name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    pod = scope.store.decode(await scope.store.get(namespace, name))
    eviction = await body.admit(scope, request, posted, name)
    deletion = {**(eviction.get("deleteOptions") or {})}
    options.check_delete(deletion)
    dry_run = bool(posted.options.get("dryRun") or deletion.get("dryRun"))
    if not _needs_no_budget(pod):
        await _charge(scope, pod, dry_run)
    write = Write(
        user=request.user,
        version="v1",
        namespace=namespace,
        name=name,
        dry_run=dry_run,
        options={**deletion, "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"},
        warnings=request.warnings,
        annotations=request.annotations,
    )
    await scope.store.delete(write)
    return body.success(scope, posted)


ENDPOINTS = {"POST": evict}


def _needs_no_budget(pod: Obj) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


async def _charge(scope: Scope, pod: Obj, dry_run: bool) -> None:
    """Take one disruption from the pod's budget, or refuse."""
    meta = pod["metadata"]
    budgets = await scope.store.environment.reader.list("policy", "poddisruptionbudgets", meta["namespace"])
    matching = [budget for budget in budgets if _covers(budget, meta.get("labels") or {})]
    if len(matching) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise ApiError(500, "InternalError", text)
    if not matching:
        return
    budget = matching[0]
    if not pods.is_ready(pod) and _spares_unhealthy(budget):
        return
    store = scope.server.store_of("policy", "poddisruptionbudgets")
    managers = scope.server.scope_of("policy", "v1", "poddisruptionbudgets", "status").managers
    now = times.now(scope.server.clock)

    async def transform(live: Obj | None) -> Obj:
        assert live is not None
        before = scope.server.copy(live)
        _decrement(live, meta["name"], now)
        return managers.update(before, live, manager=_MANAGER, now=now)

    write = Write(
        user=SERVER_USER,
        version="v1",
        group="policy",
        namespace=meta["namespace"],
        name=budget["metadata"]["name"],
        subresource="status",
        dry_run=dry_run,
    )
    await store.update(write, transform)


def _covers(budget: Obj, labels: dict[str, str]) -> bool:
    selector = (budget.get("spec") or {}).get("selector")
    return selectors.from_object(selector).matches(labels)


def _spares_unhealthy(budget: Obj) -> bool:
    """Whether an unready pod may go without being counted."""
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy") or 0
    return bool(desired > 0 and (status.get("currentHealthy") or 0) >= desired)


def _decrement(budget: Obj, pod_name: str, now: str) -> None:
    name, status = budget["metadata"]["name"], budget.setdefault("status", {})
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", _RETRY)
    allowed = status.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise errors.forbidden("policy", "poddisruptionbudgets", name, "pdb disruptions allowed is negative")
    disrupted: dict[str, str] = status.get("disruptedPods") or {}
    if len(disrupted) > _MAX_DISRUPTED:
        text = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("policy", "poddisruptionbudgets", name, text)
    if allowed == 0:
        desired, current = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
        raise _refused(f"The disruption budget {name} needs {desired} healthy pods and has {current} currently", 0)
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**disrupted, pod_name: now}
    if allowed == 1:
        _set_condition(budget, now)


def _set_condition(budget: Obj, now: str) -> None:
    """Say that no disruption is allowed any more, until the controller has looked again."""
    status = budget["status"]
    wanted: Obj = {"type": "DisruptionAllowed", "status": "False"}
    if generation := status.get("observedGeneration"):
        wanted["observedGeneration"] = generation
    wanted.update(lastTransitionTime=now, reason="InsufficientPods", message="")
    conditions: list[Obj] = status.setdefault("conditions", [])
    for at, condition in enumerate(conditions):
        if condition.get("type") == "DisruptionAllowed":
            if condition.get("status") == "False":
                wanted["lastTransitionTime"] = condition.get("lastTransitionTime") or now
            conditions[at] = wanted
            return
    conditions.append(wanted)


def _refused(message: str, retry_after: int) -> ApiError:
    details: Obj = {"causes": [{"reason": "DisruptionBudget", "message": message}]}
    text = "Cannot evict pod as it would violate the pod's disruption budget."
    return ApiError(429, "TooManyRequests", text, details=details, retry_after=retry_after or None)
