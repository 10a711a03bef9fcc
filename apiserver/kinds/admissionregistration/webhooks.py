"""What both kinds of webhook configurations say: defaults and checks of a webhook."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds.admissionregistration import matching
from apiserver.registry.kind import Obj
from apiserver.validation import labels, names

REVIEW_VERSIONS = ("v1", "v1beta1")
_HARMLESS = ("None", "NoneOnDryRun")
_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
_FORM = "; desired format: https://host[/path]"


def default_webhook(hook: Obj, *, mutating: bool) -> None:
    for name, value in (("failurePolicy", "Fail"), ("matchPolicy", "Equivalent"), ("timeoutSeconds", 10)):
        if hook.get(name) is None:
            hook[name] = value
    for name in ("namespaceSelector", "objectSelector"):
        if hook.get(name) is None:
            hook[name] = {}
    if mutating and hook.get("reinvocationPolicy") is None:
        hook["reinvocationPolicy"] = "Never"
    service = (hook.get("clientConfig") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    matching.default_rules(hook.get("rules"))


def validate(hooks: Sequence[Obj], old: Sequence[Obj] | None, *, mutating: bool) -> list[FieldError]:
    """old: the stored webhooks, on an update; rules that they break already are not enforced."""
    stored = old or ()
    unique = old is None or len({hook.get("name") for hook in stored}) == len(stored)
    harmless = all(hook.get("sideEffects") in _HARMLESS for hook in stored)
    known = all(_has_known_version(hook) for hook in stored)
    lenient = any(_selector_errors(hook, "", False) for hook in stored)
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, hook in enumerate(hooks):
        path, name = f"webhooks[{position}]", hook.get("name") or ""
        errors += _webhook(hook, path, harmless=harmless, lenient=lenient, mutating=mutating)
        errors += _review_versions(hook.get("admissionReviewVersions") or [], path + ".admissionReviewVersions", known)
        if unique and name:
            if name in seen:
                errors.append(field.duplicate(path + ".name", name))
            seen.add(name)
    return errors


def _has_known_version(hook: Obj) -> bool:
    versions = hook.get("admissionReviewVersions") or ()
    return not versions or any(version in REVIEW_VERSIONS for version in versions)


def _selector_errors(hook: Obj, path: str, lenient: bool) -> list[FieldError]:
    return [
        error
        for name in ("namespaceSelector", "objectSelector")
        for error in labels.validate_label_selector(hook.get(name), f"{path}.{name}", allow_invalid_values=lenient)
    ]


def _webhook(hook: Obj, path: str, *, harmless: bool, lenient: bool, mutating: bool) -> list[FieldError]:
    errors = _full_name(hook.get("name") or "", path + ".name")
    for position, rule in enumerate(hook.get("rules") or ()):
        errors += matching.validate_rule(rule, f"{path}.rules[{position}]")
    choices: list[tuple[str, Sequence[str]]] = [
        ("failurePolicy", matching.FAILURE_POLICIES),
        ("matchPolicy", matching.MATCH_POLICIES),
    ]
    if mutating:
        choices.append(("reinvocationPolicy", matching.REINVOCATION_POLICIES))
    for name, allowed in choices:
        value = hook.get(name)
        if value is not None and value not in allowed:
            errors.append(field.not_supported(f"{path}.{name}", value, allowed))
    effects, allowed = hook.get("sideEffects"), _HARMLESS if harmless else _SIDE_EFFECTS
    if effects is None:
        errors.append(field.required(path + ".sideEffects", f"must specify one of {', '.join(allowed)}"))
    elif effects not in allowed:
        errors.append(field.not_supported(path + ".sideEffects", effects, allowed))
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        errors.append(field.invalid(path + ".timeoutSeconds", seconds, text))
    errors += _selector_errors(hook, path, lenient)
    errors += validate_client(hook.get("clientConfig") or {}, path + ".clientConfig")
    return errors + matching.validate_conditions(hook.get("matchConditions") or (), path + ".matchConditions")


def _full_name(name: str, path: str) -> list[FieldError]:
    if not name:
        return [field.required(path)]
    if texts := names.dns_subdomain(name):
        return [field.invalid(path, name, ",".join(texts))]
    if name.count(".") < 2:
        text = "should be a domain with at least three segments separated by dots"
        return [field.invalid(path, name, text)]
    return []


def _review_versions(versions: Sequence[str], path: str, known: bool) -> list[FieldError]:
    listed = ", ".join(REVIEW_VERSIONS)
    if not versions:
        return [field.required(path, f"must specify one of {listed}")]
    errors: list[FieldError] = []
    for position, version in enumerate(versions):
        at = f"{path}[{position}]"
        if version in versions[:position]:
            errors.append(field.invalid(at, version, "duplicate version"))
        else:
            errors += [field.invalid(at, version, text) for text in names.dns1035_label(version)]
    if known and not any(version in REVIEW_VERSIONS for version in versions):
        errors.append(field.invalid(path, versions, f"must include at least one of {listed}"))
    return errors


def validate_client(client: Obj, path: str) -> list[FieldError]:
    """Where the webhook listens: a URL or a service."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return [field.required(path, "exactly one of url or service is required")]
    if url is not None:
        return _url(url, path + ".url")
    return _service(service or {}, path + ".service")


def _url(text: str, path: str) -> list[FieldError]:
    try:
        url = urlsplit(text)
    except ValueError as problem:
        return [field.required(path, f"url must be a valid URL: {problem}{_FORM}")]
    errors: list[FieldError] = []
    if url.scheme != "https":
        errors.append(field.invalid(path, url.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    user, at, host = url.netloc.rpartition("@")
    if not host:
        errors.append(field.invalid(path, "", f"host must be specified{_FORM}"))
    if at:
        errors.append(field.invalid(path, user, "user information is not permitted in the URL"))
    if url.fragment:
        errors.append(field.invalid(path, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        errors.append(field.invalid(path, url.query, "query parameters are not permitted in the URL"))
    return errors


def _service(service: Obj, path: str) -> list[FieldError]:
    # The original takes one for the other here: what is missing is told at the other's path.
    swapped = (("name", "namespace"), ("namespace", "name"))
    errors = [field.required(f"{path}.{told}") for told, name in swapped if not service.get(name)]
    port, url_path, at = service.get("port") or 0, service.get("path"), path + ".path"
    if texts := names.port_number(port):
        errors.append(field.invalid(path + ".port", port, "port is not valid: " + ", ".join(texts)))
    if not url_path or url_path == "/":
        return errors
    if url_path == "//":
        return [*errors, field.invalid(at, url_path, "segment[0] may not be empty")]
    if not url_path.startswith("/"):
        errors.append(field.invalid(at, url_path, "must start with a '/'"))
    for position, step in enumerate(url_path[1:].removesuffix("/").split("/")):
        if not step:
            errors.append(field.invalid(at, url_path, f"segment[{position}] may not be empty"))
            continue
        for text in names.dns_subdomain(step):
            errors.append(field.invalid(at, url_path, f"segment[{position}]: {text}"))
    return errors
