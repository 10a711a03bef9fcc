"""What a CustomResourceDefinition may say, in the words of apiextensions' validation, its schemas' rules apart.

The original checks an internal form in which what all versions share (schema, subresources, columns, selectable fields) stands
once at the top: that decides the paths of errors. `hoisted` is that form.
"""

from __future__ import annotations

from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds.admissionregistration import webhooks
from apiserver.kinds.apiextensions import drawn, field_paths, schema_rules
from apiserver.validation import bundles, names

Obj = dict[str, Any]
Errors = list[FieldError]

APPROVED = "api-approved.kubernetes.io"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MAX_SELECTABLE = 8
_SHARED = (
    ("subresources", "subresources"),
    ("schema", "validation"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
)


def hoisted(spec: Obj) -> Obj:
    """The spec with what all versions have in common moved from the versions to the top."""
    versions = [dict(version) for version in spec.get("versions") or ()]
    out = {**spec, "versions": versions}
    if not versions:
        return out
    out["version"] = versions[0].get("name", "")
    for name, shared in _SHARED:
        first = versions[0].get(name)
        if all(version.get(name) == first for version in versions):
            if first:
                out[shared] = first
            for version in versions:
                version.pop(name, None)
    return out


def validate_create(obj: Obj) -> Errors:
    errors = _validate_name(obj)
    errors += _validate_spec(obj["spec"], {}, require_schema=True)
    errors += validate_status(obj)
    errors += _validate_stored(obj)
    errors += _validate_approval(obj, None)
    errors += _validate_preserve(obj, None)
    return errors


def validate_update(obj: Obj, old: Obj) -> Errors:
    spec, old_spec = obj["spec"], old["spec"]
    require_schema = all(
        (version.get("schema") or {}).get("openAPIV3Schema") is not None for version in old_spec.get("versions") or ()
    )
    check_bundle = condition(old, "Established").get("status") == "True" and not invalid_bundle(old)
    errors = _validate_spec(spec, old_spec, require_schema=require_schema, check_bundle=check_bundle)
    if condition(old, "Established").get("status") == "True":
        errors += _immutable(spec.get("scope"), old_spec.get("scope"), "spec.scope")
        errors += _immutable(spec["names"].get("kind"), old_spec["names"].get("kind"), "spec.names.kind")
    errors += _immutable(spec.get("group"), old_spec.get("group"), "spec.group")
    errors += _immutable(spec["names"].get("plural"), old_spec["names"].get("plural"), "spec.names.plural")
    errors += validate_status(obj)
    errors += _validate_stored(obj)
    errors += _validate_approval(obj, old)
    errors += _validate_preserve(obj, old)
    return errors


def condition(obj: Obj, kind: str) -> Obj:
    """A condition of a definition's status; {} when it is not there."""
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found.get("type") == kind:
            return dict(found)
    return {}


def set_condition(obj: Obj, now: str, kind: str, status: str, reason: str, message: str) -> None:
    """Put a condition into a definition's status; its transition time changes with its status."""
    conditions: list[Obj] = list(obj["status"].get("conditions") or ())
    before = next((found for found in conditions if found["type"] == kind), None)
    moment = before["lastTransitionTime"] if before is not None and before["status"] == status else now
    after = {"type": kind, "status": status, "lastTransitionTime": moment, "reason": reason, "message": message}
    if before is None:
        conditions.append(after)
    else:
        conditions[conditions.index(before)] = after
    obj["status"]["conditions"] = conditions


def _immutable(new: Any, old: Any, path: str) -> Errors:
    return [] if new == old else [field.invalid(path, new, "field is immutable")]


def _validate_name(obj: Obj) -> Errors:
    name = obj["metadata"].get("name", "")
    spec = obj["spec"]
    if name and name != f"{spec['names'].get('plural', '')}.{spec.get('group', '')}":
        return [field.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')]
    return []


def _validate_spec(original: Obj, old: Obj, *, require_schema: bool, check_bundle: bool = False) -> Errors:
    spec = hoisted(original)
    errors = _validate_group_and_scope(spec)
    versions = spec["versions"]
    if require_schema and (spec.get("validation") or {}).get("openAPIV3Schema") is None:
        for position, version in enumerate(versions):
            if (version.get("schema") or {}).get("openAPIV3Schema") is None:
                errors.append(field.required(f"spec.versions[{position}].schema.openAPIV3Schema"))
    if original.get("preserveUnknownFields") and schema_rules.has_defaults(original):
        text = "must be false in order to use defaults in the schema"
        errors.append(field.invalid("spec.preserveUnknownFields", True, text))
    same = _unchanged(original, old)
    for position, version in enumerate(versions):
        path = f"spec.versions[{position}]"
        problems = names.dns1035_label(version.get("name", ""))
        if problems:
            errors.append(field.invalid(f"{path}.name", version.get("name", ""), ",".join(problems)))
        errors += _validate_version(version, path, spec, unchanged=version.get("name", "") in same)
    errors += _validate_version_set(spec, versions, given=original.get("versions") is not None)
    for name in ("plural", "singular", "kind", "listKind"):
        if not spec["names"].get(name):
            errors.append(field.required(f"spec.names.{name}"))
    errors += _validate_names(spec["names"], "spec.names")
    status = any("status" in ((version.get("subresources")) or {}) for version in original.get("versions") or ())
    first = versions[0].get("name", "") if versions else ""
    errors += schema_rules.validate(
        spec.get("validation"), "spec.validation", status_enabled=status, unchanged=first in same
    )
    errors += _validate_subresources(spec.get("subresources"), "spec.subresources")
    for position, column in enumerate(spec.get("additionalPrinterColumns") or ()):
        errors += _validate_column(column, f"spec.additionalPrinterColumns[{position}]")
    if spec.get("selectableFields"):
        schema = (spec.get("validation") or {}).get("openAPIV3Schema")
        if spec.get("validation") is None:
            errors.append(
                field.invalid("spec.selectableFields", "", "may only be set when validations.schema is included")
            )
        else:
            errors += _validate_selectable(spec["selectableFields"], schema, "spec.selectableFields")
    errors += _validate_conversion(spec, check_bundle=check_bundle)
    return errors


def _validate_group_and_scope(spec: Obj) -> Errors:
    errors = []
    group, scope = spec.get("group", ""), spec.get("scope", "")
    problems = names.dns_subdomain(group)
    if not group:
        errors.append(field.required("spec.group"))
    elif problems:
        errors.append(field.invalid("spec.group", group, ",".join(problems)))
    elif "." not in group:
        errors.append(field.invalid("spec.group", group, "should be a domain with at least one dot"))
    if not scope:
        errors.append(field.required("spec.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        errors.append(field.not_supported("spec.scope", scope, ["Cluster", "Namespaced"]))
    return errors


def _validate_version_set(spec: Obj, versions: list[Obj], *, given: bool) -> Errors:
    """given: whether there is a list of versions, were it empty."""
    errors = []
    named = [version.get("name", "") for version in versions]
    if len(set(named)) != len(named):
        shown = drawn.versions(versions)
        errors.append(field.invalid("spec.versions", shown, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        value = drawn.versions(versions) if given else None
        errors.append(field.invalid("spec.versions", value, "must have exactly one version marked as storage version"))
    first = spec.get("version", "")
    problems = names.dns1035_label(first) if first else []
    if problems:
        errors.append(field.invalid("spec.version", first, ",".join(problems)))
    return errors


def _unchanged(spec: Obj, old: Obj) -> set[str]:
    """The versions whose schema is stored as it is now."""
    before = {version.get("name"): version.get("schema") for version in old.get("versions") or ()}
    return {
        version.get("name", "")
        for version in spec.get("versions") or ()
        if version.get("name") in before and before[version.get("name")] == version.get("schema")
    }


def _validate_version(version: Obj, path: str, spec: Obj, *, unchanged: bool = False) -> Errors:
    errors = []
    for problem in _deprecation_problems(version):
        shown = field.Pointed(version["deprecationWarning"])
        errors.append(field.invalid(f"{path}.deprecationWarning", shown, problem))
    subresources = version.get("subresources") or spec.get("subresources") or {}
    errors += schema_rules.validate(
        version.get("schema"), f"{path}.schema", status_enabled="status" in subresources, unchanged=unchanged
    )
    errors += _validate_subresources(version.get("subresources"), f"{path}.subresources")
    for position, column in enumerate(version.get("additionalPrinterColumns") or ()):
        errors += _validate_column(column, f"{path}.additionalPrinterColumns[{position}]")
    if version.get("selectableFields"):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not schema:
            text = "may only be set when `version.schema.openAPIV3Schema` is not included"
            errors.append(field.invalid(f"{path}.selectableFields", "", text))
        else:
            errors += _validate_selectable(version["selectableFields"], schema, f"{path}.selectableFields")
    return errors


def _deprecation_problems(version: Obj) -> list[str]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return []
    if not version.get("deprecated"):
        return ["can only be set for deprecated versions"]
    problems = []
    if len(warning.encode()) > 256:
        problems.append("must be <= 256 characters long")
    if not warning:
        problems.append("must not be an empty string")
    for position, char in enumerate(warning):
        if not char.isprintable():
            index = len(warning[:position].encode())
            problems.append(
                f"must only contain printable UTF-8 characters; non-printable character found at index {index}"
            )
            break
    return problems


def _validate_names(found: Obj, path: str) -> Errors:
    errors = []
    for name, mixed in (("plural", False), ("singular", False), ("kind", True), ("listKind", True)):
        value = found.get(name) or ""
        problems = names.dns1035_label(value.lower() if mixed else value)
        if value and problems:
            prefix = "may have mixed case, but should otherwise match: " if mixed else ""
            errors.append(field.invalid(f"{path}.{name}", value, prefix + ",".join(problems)))
    for position, value in enumerate(found.get("shortNames") or ()):
        if problems := names.dns1035_label(value):
            errors.append(field.invalid(f"{path}.shortNames[{position}]", value, ",".join(problems)))
    if found.get("kind") and found.get("kind") == found.get("listKind"):
        errors.append(field.invalid(f"{path}.listKind", found["listKind"], "kind and listKind may not be the same"))
    for position, value in enumerate(found.get("categories") or ()):
        if problems := names.dns1035_label(value):
            errors.append(field.invalid(f"{path}.categories[{position}]", value, ",".join(problems)))
    return errors


def _validate_column(column: Obj, path: str) -> Errors:
    errors = []
    if not column.get("name"):
        errors.append(field.required(f"{path}.name"))
    kind, form, where = column.get("type", ""), column.get("format", ""), column.get("jsonPath", "")
    one_of = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not kind:
        errors.append(field.required(f"{path}.type", one_of))
    elif kind not in _COLUMN_TYPES:
        errors.append(field.invalid(f"{path}.type", kind, one_of))
    if form and form not in _COLUMN_FORMATS:
        errors.append(field.invalid(f"{path}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}"))
    if not where:
        errors.append(field.required(f"{path}.JSONPath"))
    else:
        errors += _validate_simple_path(where, f"{path}.JSONPath")
    return errors


def _validate_simple_path(where: str, path: str) -> Errors:
    if not where.startswith("."):
        return [field.invalid(path, where, "must be a simple json path starting with .")]
    return []


def _validate_subresources(found: Obj | None, path: str) -> Errors:
    scale = (found or {}).get("scale")
    if scale is None:
        return []
    errors: Errors = []
    for name, prefix in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        where, value = f"{path}.scale.{name}", scale.get(name) or ""
        if not value:
            errors.append(field.required(where))
        elif problems := _validate_simple_path(value, where):
            errors += problems
        elif not value.startswith(prefix):
            errors.append(field.invalid(where, value, f"should be a json path under {prefix[:-1]}"))
    selector, where = scale.get("labelSelectorPath") or "", f"{path}.scale.labelSelectorPath"
    if selector:
        if problems := _validate_simple_path(selector, where):
            errors += problems
        elif not selector.startswith((".spec.", ".status.")):
            text = "should be a json path under either .spec or .status"
            errors.append(field.invalid(where, field.Pointed(selector), text))
    return errors


def _validate_selectable(found: list[Obj], schema: Obj | None, path: str) -> Errors:
    errors = []
    unique = set()
    for position, one in enumerate(found):
        where, value = f"{path}[{position}].jsonPath", one.get("jsonPath") or ""
        if not value:
            errors.append(field.required(where))
            continue
        try:
            names_, target = field_paths.resolve(value, schema or {}, arrays=False)
        except field_paths.BadPath as error:
            errors.append(field.invalid(where, value, f"is an invalid path: {error}"))
            continue
        if names_.startswith("metadata") and names_[8:9] in ("", ".", "["):
            errors.append(field.invalid(where, value, "must not point to fields in metadata"))
        if (target.get("type") or "") not in ("string", "boolean", "integer"):
            text = (
                "must point to a field of type string, boolean or integer."
                " Enum string fields and strings with formats are allowed."
            )
            errors.append(field.invalid(where, value, text))
        if names_ in unique:
            errors.append(field.duplicate(where, value))
        unique.add(names_)
    if len(unique) > _MAX_SELECTABLE:
        errors.append(field.too_many(path, len(unique), _MAX_SELECTABLE))
    return errors


def _validate_conversion(spec: Obj, *, check_bundle: bool) -> Errors:
    conversion = spec.get("conversion")
    if conversion is None:
        return []
    path, errors = "spec.conversion", []
    strategy = conversion.get("strategy", "")
    if not strategy:
        errors.append(field.required(f"{path}.strategy"))
    elif strategy not in ("None", "Webhook"):
        errors.append(field.not_supported(f"{path}.strategy", strategy, ["None", "Webhook"]))
    if strategy != "None" and spec.get("preserveUnknownFields"):
        text = "must be None if spec.preserveUnknownFields is true"
        errors.append(field.invalid(f"{path}.strategy", strategy, text))
    webhook = conversion.get("webhook") or {}
    client, reviews = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy != "Webhook":
        text = "should not be set when strategy is not set to Webhook"
        if client is not None:
            errors.append(field.forbidden(f"{path}.webhookClientConfig", text))
        if reviews:
            errors.append(field.forbidden(f"{path}.conversionReviewVersions", text))
        return errors
    if client is None:
        errors.append(field.required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook"))
    else:
        errors += webhooks.validate_client(client, f"{path}.webhookClientConfig")
        bundle = client.get("caBundle") or ""
        if check_bundle and (text := bundles.problem(bundle)):
            errors.append(field.invalid(f"{path}.webhookClientConfig.caBundle", bundle, text))
    return errors + _validate_reviews(reviews, f"{path}.conversionReviewVersions")


def invalid_bundle(obj: Obj) -> bool:
    """Whether the conversion webhook's CA bundle is none."""
    webhook = (obj["spec"].get("conversion") or {}).get("webhook") or {}
    return bool(bundles.problem((webhook.get("clientConfig") or {}).get("caBundle") or ""))


def _validate_reviews(versions: list[str], path: str) -> Errors:
    if not versions:
        return [field.required(path)]
    errors = []
    for position, version in enumerate(versions):
        if version in versions[:position]:
            errors.append(field.invalid(f"{path}[{position}]", version, "duplicate version"))
            continue
        errors.extend(field.invalid(f"{path}[{position}]", version, text) for text in names.dns1035_label(version))
    if not {"v1", "v1beta1"} & set(versions):
        errors.append(field.invalid(path, versions, "must include at least one of v1, v1beta1"))
    return errors


def validate_status(obj: Obj) -> Errors:
    accepted = (obj.get("status") or {}).get("acceptedNames") or {}
    return _validate_names(accepted, "status.acceptedNames")


def _validate_stored(obj: Obj) -> Errors:
    path = "status.storedVersions"
    stored = (obj.get("status") or {}).get("storedVersions")
    if not stored:
        return [field.invalid(path, None, "must have at least one stored version")]
    errors = []
    left = {name: position for position, name in enumerate(stored)}
    for version in obj["spec"].get("versions") or ():
        name = version.get("name", "")
        if version.get("storage") and name not in left:
            errors.append(field.invalid(path, stored, f"must have the storage version {name}"))
        left.pop(name, None)
    for name, position in left.items():
        text = (
            f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a"
            f" storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
        )
        errors.append(field.invalid(f"{path}[{position}]", name, text))
    return errors


# -- protected groups


def approval(obj: Obj) -> tuple[str, str]:
    """(state, reason) of the approval annotation: "Invalid", "Missing", "Bypassed" or "Approved"."""
    value = (obj["metadata"].get("annotations") or {}).get(APPROVED, "")
    if not value:
        text = f'protected groups must have approval annotation "{APPROVED}", see https://github.com/kubernetes/enhancements/pull/1111'
        return "Missing", text
    if value.startswith("unapproved"):
        return "Bypassed", f'not approved: "{value}"'
    if "://" in value and value.partition("://")[2].partition("/")[0]:
        return "Approved", f"approved in {value}"
    text = (
        f'protected groups must have approval annotation "{APPROVED}" with either a URL or a reason starting with "unapproved",'
        " see https://github.com/kubernetes/enhancements/pull/1111"
    )
    return "Invalid", text


def protected(group: str) -> bool:
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def _validate_approval(obj: Obj, old: Obj | None) -> Errors:
    if not protected(obj["spec"].get("group", "")):
        return []
    state, reason = approval(obj)
    if old is not None and approval(old)[0] == state:
        return []
    path = field.key("metadata.annotations", APPROVED)
    if state == "Missing":
        return [field.required(path, reason)]
    if state == "Invalid":
        return [field.invalid(path, obj["metadata"]["annotations"][APPROVED], reason)]
    return []


def _validate_preserve(obj: Obj, old: Obj | None) -> Errors:
    if old is not None and old["spec"].get("preserveUnknownFields"):
        return []
    if not obj["spec"].get("preserveUnknownFields"):
        return []
    text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
    return [field.invalid("spec.preserveUnknownFields", True, text)]
