"""What admission policies and their bindings say: defaults and checks, down to whether their CEL expressions compile."""

from __future__ import annotations

import re
from collections.abc import Sequence

from apimachinery import field
from apimachinery.cel.admission import VariableTypes
from apimachinery.cel.reserved import RESERVED
from apimachinery.field import FieldError
from apiserver.kinds.admissionregistration import matching
from apiserver.registry.kind import Obj
from apiserver.validation import expressions, labels, names
from apiserver.validation.expressions import Scope

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_ACTIONS = ("Audit", "Deny", "Warn")
_PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")
_MUTATING_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
_MAX_ANNOTATIONS = 20
_ANNOTATION_LIMIT = 5 * 1024
_IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")


def default_policy(spec: Obj) -> None:
    if spec.get("failurePolicy") is None:
        spec["failurePolicy"] = "Fail"
    matching.default_match_resources(spec.get("matchConstraints"))


def default_binding(spec: Obj) -> None:
    matching.default_match_resources(spec.get("matchResources"))


# -- policies


def scope_of(spec: Obj, *, mutation: bool = False) -> Scope:
    """What the expressions of a policy see; its variables are added by whoever compiles them."""
    variables = VariableTypes() if spec.get("variables") else None
    return Scope(params=spec.get("paramKind") is not None, variables=variables, mutation=mutation)


def validate_policy(spec: Obj, scope: Scope) -> list[FieldError]:
    """What validating and mutating policies have in common. scope: takes the variables."""
    errors = matching.choice(spec.get("failurePolicy"), "spec.failurePolicy", matching.FAILURE_POLICIES)
    if (kind := spec.get("paramKind")) is not None:
        errors += _param_kind(kind, "spec.paramKind")
    constraints, path = spec.get("matchConstraints"), "spec.matchConstraints"
    if constraints is None:
        errors.append(field.required(path))
    else:
        errors += matching.validate_match_resources(constraints, path)
        if not constraints.get("resourceRules"):
            errors.append(field.required(path + ".resourceRules"))
    errors += matching.validate_conditions(
        spec.get("matchConditions") or (), "spec.matchConditions", Scope(params=scope.params)
    )
    for position, variable in enumerate(spec.get("variables") or ()):
        errors += _variable(variable, f"spec.variables[{position}]", scope)
    return errors


def _param_kind(kind: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    version, name, at = kind.get("apiVersion") or "", kind.get("kind") or "", path + ".apiVersion"
    group, _, own_version = version.rpartition("/")
    if not version:
        errors.append(field.required(at))
    elif version.count("/") > 1:
        errors.append(field.invalid(at, version, f"unexpected GroupVersion string: {version}"))
    else:
        if group and (texts := names.dns_subdomain(group)):
            errors.append(field.invalid(at, group, ",".join(texts)))
        if not own_version:
            errors.append(field.invalid(at, version, "version must be specified"))
        elif texts := names.dns1035_label(own_version):
            errors.append(field.invalid(at, own_version, ",".join(texts)))
    if not name:
        errors.append(field.required(path + ".kind"))
    elif texts := names.dns1035_label(name.lower()):
        text = "may have mixed case, but should otherwise match: " + ",".join(texts)
        errors.append(field.invalid(path + ".kind", name, text))
    return errors


def _variable(variable: Obj, path: str, scope: Scope) -> list[FieldError]:
    errors: list[FieldError] = []
    name = variable.get("name") or ""
    if not name.strip():
        errors.append(field.required(path + ".name", "name is not specified"))
    elif not _IDENTIFIER.fullmatch(name) or name in RESERVED:
        errors.append(field.invalid(path + ".name", name, "must be a valid CEL identifier"))
    if not (variable.get("expression") or "").strip():
        errors.append(field.required(path + ".expression", "expression is not specified"))
    else:
        errors += expressions.errors_of(scope.add_variable(name, variable["expression"]), path + ".expression")
    return errors


def validate_validations(spec: Obj, name: str, scope: Scope) -> list[FieldError]:
    """validations and auditAnnotations of a validating policy; name: the policy's."""
    validations, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or []
    errors: list[FieldError] = []
    if not validations and not annotations:
        text = "validations or auditAnnotations must contain at least one item"
        return [field.required("spec.validations", text), field.required("spec.auditAnnotations", text)]
    for position, validation in enumerate(validations):
        errors += _validation(validation, f"spec.validations[{position}]", scope)
    path = "spec.auditAnnotations"
    if len(annotations) > _MAX_ANNOTATIONS:
        text = f"must not have more than {_MAX_ANNOTATIONS} auditAnnotations"
        shown = [
            {name: one.get(name[0].lower() + name[1:], "") for name in ("Key", "ValueExpression")}
            for one in annotations
        ]
        errors.append(field.invalid(path, shown, text))
    seen: set[str] = set()
    for position, annotation in enumerate(annotations):
        key = annotation.get("key") or ""
        errors += _annotation(annotation, name, f"{path}[{position}]", scope)
        if key in seen:
            errors.append(field.duplicate(f"{path}[{position}].key", key))
        seen.add(key)
    return errors


def _validation(validation: Obj, path: str, scope: Scope) -> list[FieldError]:
    errors: list[FieldError] = []
    if not (validation.get("expression") or "").strip():
        errors.append(field.required(path + ".expression", "expression is not specified"))
    else:
        found = scope.compile(validation["expression"], expressions.BOOL)
        errors += expressions.errors_of(found, path + ".expression")
    texts = {name: validation.get(name) or "" for name in ("messageExpression", "message")}
    for name, text in texts.items():
        if text and not text.strip():
            errors.append(field.invalid(f"{path}.{name}", text, "must be non-empty if specified"))
        elif text and name == "messageExpression":
            found = scope.compile(text, expressions.STRING, authorizer=False)
            errors += expressions.errors_of(found, f"{path}.{name}")
    message = texts["message"].strip()
    if "\n" in message or "\r" in message:
        errors.append(field.invalid(path + ".message", texts["message"], "must not contain line breaks"))
    reason = validation.get("reason")
    if reason is not None and reason not in _REASONS:
        errors.append(field.not_supported(path + ".reason", reason, _REASONS))
    return errors


def _annotation(annotation: Obj, name: str, path: str, scope: Scope) -> list[FieldError]:
    key, value = annotation.get("key") or "", (annotation.get("valueExpression") or "").strip()
    full = f"{name}/{key}"
    errors = [field.invalid(path + ".key", full, text) for text in names.qualified_name(full)]
    if not name:
        errors = [field.invalid(path + ".key", key, "requires metadata.name be non-empty")]
    if not value:
        errors.append(field.required(path + ".valueExpression", "valueExpression is not specified"))
    elif len(value) > _ANNOTATION_LIMIT:
        text = f"must not exceed {_ANNOTATION_LIMIT} bytes in length"
        errors.append(field.required(path + ".valueExpression", text))
    else:
        found = scope.compile(annotation["valueExpression"], expressions.STRING_OR_NULL)
        errors += expressions.errors_of(found, path + ".valueExpression")
    return errors


def validate_mutations(spec: Obj, scope: Scope) -> list[FieldError]:
    """mutations and reinvocationPolicy of a mutating policy."""
    errors = mutating_operations(spec.get("matchConstraints"), "spec.matchConstraints")
    mutations = spec.get("mutations") or ()
    if not mutations:
        errors.append(field.required("spec.mutations", "mutations must contain at least one item"))
    for position, mutation in enumerate(mutations):
        errors += _mutation(mutation, f"spec.mutations[{position}]", scope)
    policy, path = spec.get("reinvocationPolicy") or "", "spec.reinvocationPolicy"
    return errors + matching.choice(policy or None, path, matching.REINVOCATION_POLICIES)


def mutating_operations(match: Obj | None, path: str) -> list[FieldError]:
    """Operations that leave nothing to mutate."""
    return [
        field.not_supported(f"{path}.resourceRules.operations", operation, _MUTATING_OPERATIONS)
        for rule in (match or {}).get("resourceRules") or ()
        for operation in rule.get("operations") or ()
        if operation not in _MUTATING_OPERATIONS
    ]


def _mutation(mutation: Obj, path: str, scope: Scope) -> list[FieldError]:
    kind = mutation.get("patchType") or ""
    if not kind:
        return [field.required(path + ".patchType")]
    if kind not in _PATCH_TYPES:
        return [field.not_supported(path + ".patchType", kind, _PATCH_TYPES)]
    own, other = "applyConfiguration", "jsonPatch"
    if kind == "JSONPatch":
        own, other = other, own
    errors: list[FieldError] = []
    if (body := mutation.get(own)) is None:
        errors.append(field.required(f"{path}.{own}", f"must be specified when patchType is {kind}"))
    elif not (body.get("expression") or "").strip():
        errors.append(field.required(f"{path}.{own}.expression"))
    else:
        returns = expressions.JSON_PATCHES if kind == "JSONPatch" else expressions.APPLY
        found = scope.compile(body["expression"], returns)
        errors += expressions.errors_of(found, f"{path}.{own}.expression")
    if mutation.get(other) is not None:
        text = f"must not be specified when patchType is {kind}"
        errors.append(field.invalid(f"{path}.{other}", f"{{{other}}}", text))
    return errors


# -- bindings


def validate_binding(spec: Obj, *, actions: bool) -> list[FieldError]:
    """actions: the binding says what a failure leads to (bindings of validating policies)."""
    policy = spec.get("policyName") or ""
    if not policy:
        errors = [field.required("spec.policyName")]
    else:
        errors = [field.invalid("spec.policyName", policy, text) for text in names.dns_subdomain(policy)]
    errors += _param_ref(spec.get("paramRef"), "spec.paramRef")
    errors += matching.validate_match_resources(spec.get("matchResources"), "spec.matchResources")
    if not actions:
        return errors + mutating_operations(spec.get("matchResources"), "spec.matchResources")
    return errors + _validation_actions(spec.get("validationActions") or [])


def _validation_actions(actions: Sequence[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    path = "spec.validationActions"
    for position, action in enumerate(actions):
        if action not in _ACTIONS:
            errors.append(field.not_supported(f"{path}[{position}]", action, _ACTIONS))
        if action in actions[:position]:
            errors.append(field.duplicate(f"{path}[{position}]", action))
    if "Deny" in actions and "Warn" in actions:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        errors.append(field.invalid(path, actions, text))
    if not actions:
        errors.append(field.required(path, "at least one validation action is required"))
    return errors


def _param_ref(ref: Obj | None, path: str) -> list[FieldError]:
    if ref is None:
        return []
    errors: list[FieldError] = []
    name, selector, action = ref.get("name") or "", ref.get("selector"), ref.get("parameterNotFoundAction")
    exclusive = "name and selector are mutually exclusive"
    if name:
        errors += [field.invalid(path + ".name", name, text) for text in names.path_segment(name)]
        if selector is not None:
            errors.append(field.forbidden(path + ".name", exclusive))
    if selector is not None:
        errors += labels.validate_label_selector(selector, path + ".selector")
        if name:
            errors.append(field.forbidden(path + ".selector", exclusive))
    if not name and selector is None:
        errors.append(field.required(path, "one of name or selector must be specified"))
    at = path + ".parameterNotFoundAction"
    if not action:
        errors.append(field.required(at))
    elif action not in ("Deny", "Allow"):
        errors.append(field.not_supported(at, action, ["Deny", "Allow"]))
    return errors
