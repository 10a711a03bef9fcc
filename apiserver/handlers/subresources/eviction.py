"""POST pods/<name>/eviction: a deletion that PodDisruptionBudgets may refuse.

The budget is charged before the pod is deleted, so that two evictions cannot both use its last allowance. Before it goes the
pod gets a condition that tells why, for those who watch it or collect its remains.
"""

from __future__ import annotations

from apimachinery import errors, field, pods, selectors, times
from apimachinery.errors import ApiError
from apiserver.filters.base import Request
from apiserver.handlers import options
from apiserver.handlers.scope import Expected, Scope
from apiserver.handlers.subresources import body
from apiserver.kinds.core import pod_binding
from apiserver.registry import metadata
from apiserver.registry.deletion import check_preconditions
from apiserver.registry.kind import Obj
from apiserver.registry.registry import SERVER_USER
from apiserver.registry.store import NoAdmission, Write
from serving.reply import Reply

_EXPECTED = Expected("Eviction", "policy", "v1", also=("policy/v1beta1",))
_MANAGER = "kube-apiserver"
_MAX_DISRUPTED = 2000
_RETRY = 10
_PENDING = "The disruption budget {} is still being processed by the server."


async def evict(scope: Scope, request: Request) -> Reply:
    """201 when the pod is (being) deleted; 429 when a budget does not allow it now."""
    posted = await body.read(scope, request, _EXPECTED)
    name, namespace = request.info.name, request.info.namespace
    if posted.obj["metadata"].get("name") != name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    eviction = await body.admit(scope, request, posted, name)
    deletion = _delete_options(eviction, posted.options, name)
    pod = scope.store.decode(await scope.store.get(namespace, name))
    dry_run = bool(deletion.get("dryRun"))
    budget = "" if _needs_no_budget(pod) else await _charge(scope, pod, dry_run)
    given = (deletion.get("preconditions") or {}).get("resourceVersion")
    if budget:
        seen = {"resourceVersion": pod["metadata"]["resourceVersion"]}
        deletion["preconditions"] = {**(deletion.get("preconditions") or {}), **seen}
    try:
        await _delete(scope, request, deletion, dry_run=dry_run)
    except ApiError as error:
        if budget and not given and error.reason == "Conflict":  # it may have become ready meanwhile
            raise _refused(_PENDING.format(budget), _RETRY) from None
        raise
    return body.success(scope, posted)


def _delete_options(eviction: Obj, create: Obj, name: str) -> Obj:
    """How the pod is to be deleted; 422 and 500 for what an eviction cannot do. create: the request's CreateOptions."""
    deletion: Obj = {**(eviction.get("deleteOptions") or {})}
    if deletion.get("ignoreStoreReadErrorWithClusterBreakingPotential"):
        text = "can not be set for pod eviction, try after removing the option"
        path = "deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential"
        raise errors.invalid("policy", "Eviction", name, [field.invalid(path, True, text)])
    asked, own = create.get("dryRun"), deletion.get("dryRun")
    if asked and own and asked != own:
        lists = " and ".join(f"[{' '.join(values)}]" for values in (asked, own))
        raise metadata.plain_failure(f"Non-matching dry-run options in request and content: {lists}")
    if asked:
        deletion["dryRun"] = asked
    return deletion


async def _delete(scope: Scope, request: Request, deletion: Obj, *, dry_run: bool) -> None:
    """Mark the pod and delete it, which admission is not asked about."""
    store, namespace, name = scope.store, request.info.namespace, request.info.name
    if not dry_run:
        await _mark(scope, namespace, name, deletion)
        if (wanted := deletion.get("preconditions") or {}).get("resourceVersion"):
            marked = str((await store.get(namespace, name)).revision)
            deletion = {**deletion, "preconditions": {**wanted, "resourceVersion": marked}}
    options.check_delete(deletion)
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
    await store.delete(write, admission=NoAdmission())


async def _mark(scope: Scope, namespace: str, name: str, deletion: Obj) -> None:
    """Give the pod the condition that it is evicted."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }

    def change(pod: Obj) -> Obj:
        check_preconditions(scope.kind, pod["metadata"], deletion)
        pod_binding.set_condition(pod.setdefault("status", {}), condition, scope.server.clock)
        return pod

    pod = scope.store.decode(await scope.store.get(namespace, name))
    check_preconditions(scope.kind, pod["metadata"], deletion)
    present = (pod.get("status") or {}).get("conditions") or ()
    if not any(condition.items() <= found.items() for found in present):
        await scope.store.replace(namespace, name, change)


ENDPOINTS = {"POST": evict}


def _needs_no_budget(pod: Obj) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


async def _charge(scope: Scope, pod: Obj, dry_run: bool) -> str:
    """Take one disruption from the pod's budget, or refuse. The name of a budget that spares the pod while it is unready."""
    meta = pod["metadata"]
    budgets = await scope.store.environment.reader.list("policy", "poddisruptionbudgets", meta["namespace"])
    matching = [budget for budget in budgets if _covers(budget, meta.get("labels") or {})]
    if len(matching) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise metadata.plain_failure(text)
    if not matching:
        return ""
    budget = matching[0]
    if not pods.is_ready(pod) and _spares_unhealthy(budget):
        return str(budget["metadata"]["name"])
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
    return ""


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
        raise _refused(_PENDING.format(name), _RETRY)
    allowed = status.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise errors.forbidden("policy", "poddisruptionbudgets", name, "pdb disruptions allowed is negative")
    disrupted: dict[str, str] = status.get("disruptedPods") or {}
    if len(disrupted) > _MAX_DISRUPTED:
        text = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("policy", "poddisruptionbudgets", name, text)
    if allowed == 0:
        raise _refused(f"The disruption budget {name} {_exhausted(status)}", 0)
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = {**disrupted, pod_name: now}
    if allowed == 1:
        _set_condition(budget, now)


def _exhausted(status: Obj) -> str:
    """Why a budget allows no disruption."""
    desired, current = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
    found = [c for c in status.get("conditions") or () if c.get("type") == "DisruptionAllowed"]
    condition = found[0] if found and found[0].get("status") == "False" and found[0].get("message") else None
    refusal = "does not allow evicting pods currently"
    if condition and condition.get("reason") == "SyncFailed":
        return f"{refusal} because it failed sync: {condition['message']}"
    if current <= desired:
        return f"needs {desired} healthy pods and has {current} currently"
    return f"{refusal} ({condition.get('reason', '')}): {condition['message']}" if condition else refusal


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
