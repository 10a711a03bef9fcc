"""Bootstrap roles and bindings, reconciled at every start as the original does.

What is missing is created; a role that lacks rights or a binding that lacks subjects gets them added; what an operator
added stays. An object whose annotation rbac.authorization.kubernetes.io/autoupdate is "false" is left alone.
"""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apimachinery.errors import ApiError
from apiserver.authz.rules import Atom, compile_rules, missing
from apiserver.bootstrap import roles as data
from apiserver.registry.kind import Obj, Reader, Writer

GROUP = "rbac.authorization.k8s.io"
API_VERSION = f"{GROUP}/v1"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_MACROS = {"$read": data.READ, "$write": data.WRITE}


def parse_rules(text: str) -> list[Obj]:
    """PolicyRules from the notation of roles.py."""
    out = []
    for line in text.splitlines():
        line = data.EVENTS if line.strip() == "$events" else line.strip()
        if not line:
            continue
        for macro, words in _MACROS.items():
            line = line.replace(macro, words)
        parts = [sorted(part.split()) for part in line.split(" : ")]
        if len(parts) == 2:
            out.append({"verbs": parts[0], "nonResourceURLs": parts[1]})
            continue
        groups = sorted("" if group == "core" else group for group in parts[1])
        rule: Obj = {"verbs": parts[0], "apiGroups": groups, "resources": parts[2]}
        if len(parts) > 3:
            rule["resourceNames"] = parts[3]
        out.append(rule)
    return out


def _object(kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None, **rest: Any) -> Obj:
    meta: Obj = {"name": name}
    if namespace:
        meta["namespace"] = namespace
    meta["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults", **(labels or {})}
    meta["annotations"] = {AUTOUPDATE: "true"}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, **rest}


def node_rules() -> list[Obj]:
    """What every node may do, the Node authorizer's fixed part."""
    return parse_rules(data.CLUSTER_ROLES["system:node"][0])


def cluster_roles() -> list[Obj]:
    """All bootstrap ClusterRoles. Those that gather others get their rules from the controller that aggregates."""
    out = []
    for name, (rules, bears, gathers) in data.CLUSTER_ROLES.items():
        labels = {data.AGGREGATE + bears: "true"} if bears else {}
        rest: Obj = {"rules": parse_rules(rules)}
        if gathers:
            selector = {"matchLabels": {data.AGGREGATE + gathers: "true"}}
            rest = {"rules": None, "aggregationRule": {"clusterRoleSelectors": [selector]}}
        out.append(_object("ClusterRole", name, labels=labels, **rest))
    for name, rules in data.CONTROLLER_ROLES.items():
        out.append(_object("ClusterRole", f"system:controller:{name}", rules=parse_rules(rules)))
    return out


def _subjects(text: str) -> list[Obj]:
    out: list[Obj] = []
    for word in text.split():
        kind, _, name = word.partition(":")
        if kind == "sa":
            namespace, _, account = name.partition("/")
            out.append({"kind": "ServiceAccount", "name": account, "namespace": namespace})
        else:
            out.append({"kind": kind.capitalize(), "apiGroup": GROUP, "name": name})
    return out


def _binding(kind: str, name: str, namespace: str, role_kind: str, role: str, subjects: str) -> Obj:
    found = _subjects(subjects)
    binding = _object(kind, name, namespace, roleRef={"apiGroup": GROUP, "kind": role_kind, "name": role})
    return {**binding, "subjects": found} if found else binding


def cluster_role_bindings() -> list[Obj]:
    bound = data.CLUSTER_BINDINGS.items()
    return [_binding("ClusterRoleBinding", name, "", "ClusterRole", name, to) for name, to in bound]


def roles() -> list[Obj]:
    return [_object("Role", name, ns, rules=parse_rules(rules)) for (ns, name), rules in data.ROLES.items()]


def role_bindings() -> list[Obj]:
    return [_binding("RoleBinding", name, ns, "Role", role, to) for (ns, name), (role, to) in data.BINDINGS.items()]


async def reconcile(reader: Reader, writer: Writer) -> None:
    """Make sure of all of them. The namespaces kube-system and kube-public must exist."""
    for plural, wanted in (("clusterroles", cluster_roles()), ("roles", roles())):
        await _reconcile(reader, writer, plural, wanted, _complete_role)
    for plural, wanted in (("clusterrolebindings", cluster_role_bindings()), ("rolebindings", role_bindings())):
        await _reconcile(reader, writer, plural, wanted, _complete_binding)


async def _reconcile(reader: Reader, writer: Writer, plural: str, wanted: list[Obj], complete: Any) -> None:
    known = {(o["metadata"].get("namespace"), o["metadata"]["name"]): o for o in await reader.list(GROUP, plural)}
    for obj in wanted:
        key = (obj["metadata"].get("namespace"), obj["metadata"]["name"])
        existing = known.get(key)
        for _ in range(5):  # another server may be at it too
            try:
                await _make_sure(writer, plural, obj, existing, complete)
                break
            except ApiError as error:
                if not errors.is_reason(error, "AlreadyExists", "Conflict", "NotFound"):
                    raise
                existing = await reader.get(GROUP, plural, *key)


async def _make_sure(writer: Writer, plural: str, obj: Obj, existing: Obj | None, complete: Any) -> None:
    if existing is None:
        await writer.create(GROUP, plural, obj)
        return
    if (existing["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false":
        return
    changed = _complete_metadata(existing, obj)
    verdict = complete(existing, obj)
    if verdict == "replace":
        meta = existing["metadata"]
        await writer.delete(GROUP, plural, meta.get("namespace"), meta["name"])
        await writer.create(GROUP, plural, obj)
    elif changed or verdict:
        await writer.update(GROUP, plural, existing)


def _complete_metadata(existing: Obj, wanted: Obj) -> bool:
    changed = False
    for field in ("labels", "annotations"):
        have = existing["metadata"].setdefault(field, {})
        for key, value in wanted["metadata"][field].items():
            if have.get(key) != value:
                have[key] = value
                changed = True
    return changed


def _complete_role(existing: Obj, wanted: Obj) -> bool:
    if "aggregationRule" in wanted:
        if existing.get("aggregationRule") == wanted["aggregationRule"]:
            return False
        existing["aggregationRule"] = wanted["aggregationRule"]
        return True
    have = existing.get("rules") or []
    lacking = missing(compile_rules(have), wanted["rules"])
    if not lacking:
        return False
    existing["rules"] = have + [_rule(atom) for atom in lacking]
    return True


def _rule(atom: Atom) -> Obj:
    if atom.url:
        return {"verbs": [atom.verb], "nonResourceURLs": [atom.url]}
    rule: Obj = {"verbs": [atom.verb], "apiGroups": [atom.group], "resources": [atom.resource]}
    if atom.name:
        rule["resourceNames"] = [atom.name]
    return rule


def _complete_binding(existing: Obj, wanted: Obj) -> bool | str:
    if existing.get("roleRef") != wanted["roleRef"]:
        return "replace"  # a binding's role cannot be changed in place
    have = existing.get("subjects") or []
    lacking = [subject for subject in wanted.get("subjects", ()) if subject not in have]
    if not lacking:
        return False
    existing["subjects"] = have + lacking
    return True
