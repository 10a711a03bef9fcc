"""Type checking of validating admission policies: their expressions against the schemas of what they match.

    check(policy, targets, params)      the warnings, as status.typeChecking has them
    targets_of(policy, served)          what the policy's rules match, as far as they name it
    schema_of(document, gvk)            a kind's schema out of an OpenAPI document, references resolved

Plain functions; policystatus.py fetches what they need. Nothing here changes what a policy does: a kind whose schema is not
known is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from apimachinery.cel import schemas, types
from apimachinery.cel.admission import NAMESPACE, REQUEST, REQUEST_TYPES, VARIABLES, VariableTypes
from apimachinery.cel.declarations import named
from apimachinery.cel.env import Env
from apimachinery.cel.errors import CompileError
from apimachinery.cel.schemas import DeclType, SchemaTypes
from apimachinery.cel.types import DYN_TYPE
from apimachinery.gvk import Resource, split_api_version

Obj = dict[str, Any]
Gvk = tuple[str, str, str]  # group, version, kind

_MAX_TYPES = 10
_REF = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Target:
    """A kind that expressions are checked against. decl: None for a schema that says nothing."""

    gvk: Gvk
    decl: DeclType | None


# -- what is matched


def targets_of(policy: Obj, served: Sequence[Resource]) -> list[Gvk]:
    """The kinds that the policy's rules name without wildcards, sorted. Each rule counts up to ten."""
    found: set[Gvk] = set()
    for rule in (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or ():
        named_here = list(islice(_kinds(rule, served), _MAX_TYPES))
        found.update(named_here)
        if len(named_here) == _MAX_TYPES:
            break
    return sorted(found)


def _kinds(rule: Obj, served: Sequence[Resource]) -> Iterable[Gvk]:
    groups, versions = sorted(rule.get("apiGroups") or ()), sorted(rule.get("apiVersions") or ())
    if any("*" in name for name in (*groups, *versions)):
        return
    resources = sorted(name for name in rule.get("resources") or () if not {"*", "/"} & set(name))
    for group in groups:
        for version in versions:
            for name in resources:
                for one in served:
                    # No group is any group here, as it is for the original's mapper.
                    if one.version == version and (not group or one.group == group) and _is_called(one, name):
                        yield one.group, one.version, one.kind


def _is_called(resource: Resource, name: str) -> bool:
    return name.lower() in (resource.plural, resource.kind.lower())


def params_of(policy: Obj) -> Gvk | None:
    """The kind of the policy's parameters."""
    kind = policy["spec"].get("paramKind")
    if not kind or (kind.get("apiVersion") or "").count("/") > 1:
        return None
    return (*split_api_version(kind.get("apiVersion") or ""), kind.get("kind") or "")


# -- schemas


def document_path(gvk: Gvk) -> str:
    """Under which name /openapi/v3 lists the document of a group version."""
    group, version, _ = gvk
    return f"apis/{group}/{version}" if group else f"api/{version}"


def schema_of(document: Obj, gvk: Gvk) -> Obj | None:
    """The kind's schema without references; None when the document does not have it."""
    known = (document.get("components") or {}).get("schemas") or {}
    wanted = dict(zip(("group", "version", "kind"), gvk, strict=True))
    for name, schema in known.items():
        if wanted in (schema.get("x-kubernetes-group-version-kind") or ()):
            return _resolved(schema, known, {name})
    return None


def _resolved(schema: Obj, known: Mapping[str, Obj], visited: set[str]) -> Obj:
    reference = _reference(schema)
    if reference is not None:
        if reference in visited or reference not in known:
            return {"type": "object"}
        visited = visited | {reference}
        schema = known[reference]
    out = dict(schema)
    if out.get("format") == "int-or-string":
        out["x-kubernetes-int-or-string"] = True
    for name in ("items", "additionalProperties"):
        if isinstance(out.get(name), dict):
            out[name] = _resolved(out[name], known, visited)
    if out.get("properties"):
        out["properties"] = {name: _resolved(child, known, visited) for name, child in out["properties"].items()}
    return out


def _reference(schema: Obj) -> str | None:
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    # A reference may be wrapped to go with a description.
    return next((found for part in schema.get("allOf") or () if (found := _reference(part)) is not None), None)


def declared(schema: Obj, gvk: Gvk) -> DeclType | None:
    """A schema as the type of an object."""
    return schemas.declare(schema, root=True, name=f"{gvk[2]}1")


# -- checking


def check(policy: Obj, targets: Sequence[Target], params: DeclType | None) -> list[Obj]:
    """Warnings for expressions that do not fit some kind they will meet, in the order of the expressions."""
    if not targets:
        return []
    spec = policy["spec"]
    environments = [(target, _environment(spec, target, params)) for target in targets]
    warnings = []
    for position, validation in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            text = validation.get(name) or ""
            if not text and name == "messageExpression":
                continue
            problems = [(target, problem) for target, env in environments if (problem := _problem(env, text))]
            if problems:
                lines = [f"{_name(target.gvk)}: {problem}\n" for target, problem in problems]
                warnings.append({"fieldRef": f"spec.validations[{position}].{name}", "warning": "\n".join(lines)})
    return warnings


def _name(gvk: Gvk) -> str:
    group, version, kind = gvk
    return f"{group}/{version}, Kind={kind}"


def _environment(spec: Obj, target: Target, params: DeclType | None) -> Env:
    obj = DYN_TYPE if target.decl is None else target.decl.type
    names = {"namespaceObject": NAMESPACE, "request": REQUEST, "object": obj, "oldObject": obj}
    names["authorizer"] = named("Authorizer")
    if spec.get("paramKind"):
        names["params"] = DYN_TYPE if params is None else params.type
    roots = [decl for decl in (target.decl, params) if decl is not None]
    variables = VariableTypes()
    names["variables"] = VARIABLES
    env = Env(names, types.Types(REQUEST_TYPES, SchemaTypes(*roots), variables))
    for variable in spec.get("variables") or ():
        variables.add(variable.get("name") or "", _type_of(env, variable.get("expression") or ""))
    return env


def _type_of(env: Env, text: str) -> types.Type | None:
    try:
        return env.compile(text).type
    except CompileError:
        return None


def _problem(env: Env, text: str) -> str:
    try:
        env.compile(text)
    except CompileError as error:
        return str(error)
    return ""
