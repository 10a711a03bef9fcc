"""The FlowSchemas and PriorityLevelConfigurations that every cluster has.

The mandatory ones (exempt, catch-all) are kept as they should be; of the others, a spec follows as long as its annotation
apf.kubernetes.io/autoupdate-spec is "true". flowcontrol/controller.py writes their status.
"""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver.bootstrap.ensure import Access, ensure
from apiserver.registry.kind import Obj

GROUP = "flowcontrol.apiserver.k8s.io"
_API_VERSION = f"{GROUP}/v1"
_AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
_PRODUCER = "api-priority-and-fairness-config-producer-v1"
_MANDATORY = ("exempt", "catch-all")
_EVERY_SECONDS = 60.0

# name -> (nominal shares, lendable percent, queues, hand size); no queues: excess is rejected.
_LIMITED: dict[str, tuple[int, int, int, int]] = {
    "catch-all": (5, 0, 0, 0),
    "system": (30, 33, 64, 6),
    "node-high": (40, 25, 64, 6),
    "leader-election": (10, 0, 16, 4),
    "workload-high": (40, 50, 128, 6),
    "workload-low": (100, 90, 128, 6),
    "global-default": (20, 50, 128, 6),
}
_QUEUE_LENGTH = 50

_EVERYONE = ("system:unauthenticated", "system:authenticated")


def _groups(*names: str) -> list[Obj]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Obj]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


_KUBE_SYSTEM: list[Obj] = [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}}]


def _resources(verbs: list[str], group: str, resources: list[str], *, cluster: bool) -> Obj:
    rule: Obj = {"verbs": verbs, "apiGroups": [group], "resources": resources}
    if cluster:
        rule["clusterScope"] = True
    rule["namespaces"] = ["*"]
    return rule


_ALL = _resources(["*"], "*", ["*"], cluster=True)
_ALL_PATHS: Obj = {"verbs": ["*"], "nonResourceURLs": ["*"]}
_LEASES = _resources(["get", "create", "update"], "coordination.k8s.io", ["leases"], cluster=False)


def _everything(subjects: list[Obj]) -> list[Obj]:
    return [{"subjects": subjects, "resourceRules": [_ALL], "nonResourceRules": [_ALL_PATHS]}]


_NODE_REPORTS = [
    _resources(["*"], "", ["nodes", "nodes/status"], cluster=True),
    _resources(["*"], "coordination.k8s.io", ["leases"], cluster=False),
]
_PROBES: Obj = {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}

# (name, level, precedence, what tells flows apart, rules)
_SCHEMAS: list[tuple[str, str, int, str, list[Obj]]] = [
    ("exempt", "exempt", 1, "", _everything(_groups("system:masters"))),
    ("probes", "exempt", 2, "", [{"subjects": _groups(*_EVERYONE), "nonResourceRules": [_PROBES]}]),
    (
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        [
            {
                "subjects": [*_users("system:kube-controller-manager", "system:kube-scheduler"), *_KUBE_SYSTEM],
                "resourceRules": [_LEASES],
            }
        ],
    ),
    (
        "system-node-high",
        "node-high",
        400,
        "ByUser",
        [{"subjects": _groups("system:nodes"), "resourceRules": _NODE_REPORTS}],
    ),
    ("system-nodes", "system", 500, "ByUser", _everything(_groups("system:nodes"))),
    (
        "kube-controller-manager",
        "workload-high",
        800,
        "ByNamespace",
        _everything(_users("system:kube-controller-manager")),
    ),
    ("kube-scheduler", "workload-high", 800, "ByNamespace", _everything(_users("system:kube-scheduler"))),
    ("kube-system-service-accounts", "workload-high", 900, "ByNamespace", _everything(_KUBE_SYSTEM)),
    ("service-accounts", "workload-low", 9000, "ByUser", _everything(_groups("system:serviceaccounts"))),
    ("global-default", "global-default", 9900, "ByUser", _everything(_groups(*_EVERYONE))),
    ("catch-all", "catch-all", 10000, "ByUser", _everything(_groups(*_EVERYONE))),
]


def priority_levels() -> list[Obj]:
    """All built-in PriorityLevelConfigurations."""
    specs: dict[str, Any] = {
        "exempt": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    }
    for name, (shares, lendable, queues, hand) in _LIMITED.items():
        response: Obj = {"type": "Reject"}
        if queues:
            queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": _QUEUE_LENGTH}
            response = {"type": "Queue", "queuing": queuing}
        limited = {"nominalConcurrencyShares": shares, "limitResponse": response, "lendablePercent": lendable}
        specs[name] = {"type": "Limited", "limited": limited}
    return [_object("PriorityLevelConfiguration", name, spec) for name, spec in specs.items()]


def flow_schemas() -> list[Obj]:
    """All built-in FlowSchemas, by precedence."""
    out = []
    for name, level, precedence, method, rules in _SCHEMAS:
        spec: Obj = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
        if method:
            spec["distinguisherMethod"] = {"type": method}
        out.append(_object("FlowSchema", name, {**spec, "rules": rules}))
    return out


def _object(kind: str, name: str, spec: Obj) -> Obj:
    meta = {"name": name, "annotations": {_AUTOUPDATE: "true"}}
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": meta, "spec": spec}


async def keep(access: Access) -> None:
    """Look after them for as long as the server runs."""
    while True:
        await access.clock.sleep(_EVERY_SECONDS)
        await reconcile(access)


async def reconcile(access: Access) -> None:
    """Make sure of all of them; those of an earlier version, which still follow, go."""
    for wanted in priority_levels():
        await _ensure(access, "prioritylevelconfigurations", wanted)
    for wanted in flow_schemas():
        await _ensure(access, "flowschemas", wanted)
    await _remove_others(access, "flowschemas", flow_schemas())
    await _remove_others(access, "prioritylevelconfigurations", priority_levels())


async def _remove_others(access: Access, plural: str, wanted: list[Obj]) -> None:
    names = {obj["metadata"]["name"] for obj in wanted}
    for obj in await access.reader.list(GROUP, plural):
        meta = obj["metadata"]
        if meta["name"] in names or (meta.get("annotations") or {}).get(_AUTOUPDATE) != "true":
            continue
        try:
            await access.writer.delete(GROUP, plural, None, meta["name"])
        except ApiError as error:
            if not errors.is_reason(error, "NotFound"):
                raise


async def _ensure(access: Access, plural: str, wanted: Obj) -> None:
    def change(existing: Obj) -> bool:
        follows = (existing["metadata"].get("annotations") or {}).get(_AUTOUPDATE) == "true"
        if existing["spec"] == wanted["spec"] or not (follows or wanted["metadata"]["name"] in _MANDATORY):
            return False
        existing["spec"] = wanted["spec"]
        return True

    await ensure(access, GROUP, plural, wanted, change, manager=_PRODUCER)
