"""Pod specs, pod templates and pods: what kinds call to have one checked.

    validate_pod_template(template, path, old=None)      workload kinds; path e.g. "spec.template"
    validate_pod_spec(spec, path, options, pod_name="", annotations=None)
    validate_pod(pod, options)                           a Pod's spec and annotations, without its metadata's own rules
    options.tolerating(old_spec)                         for updates: what the stored object has already is let through

Written for the good case: a part that is not there costs one look-up, and paths are put together where there is
something to check. The rules are those of the original's pkg/apis/core/validation, with 1.36's default feature gates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from apimachinery import field, pods, quantity
from apimachinery.field import FieldError
from apiserver.validation import ips, labels, meta, names, resources
from apiserver.validation.pod import annotations as pod_annotations
from apiserver.validation.pod import containers, scheduling, security, volumes
from apiserver.validation.pod.options import STRICT, STRICT_POD, PodOptions, containers_with_path, tolerating

Obj = Mapping[str, Any]

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_INT32 = 2**31 - 1
_MAX_NAMESERVERS, _MAX_SEARCHES, _MAX_SEARCH_CHARS = 3, 32, 2048
_HOSTNAME_LIMIT = 64

TELLING_EMPTIES = (b'"claims"', b'"ephemeralContainers"', b'"volumeClaimTemplate"')
"""Where a body has these, an empty list in it may be one that is forbidden: Kind.telling_empties of what has pods."""

__all__ = [
    "STRICT",
    "STRICT_POD",
    "TELLING_EMPTIES",
    "PodOptions",
    "validate_pod",
    "validate_pod_spec",
    "validate_pod_template",
]


def validate_pod_template(template: Obj, path: str, old: Obj | None = None) -> list[FieldError]:
    """A PodTemplateSpec. old: the stored one in an update, whose faults are let through."""
    errors = _template(template, path, STRICT)
    if errors and old is not None:
        errors = _template(template, path, _tolerating_template(old))
    return errors


def validate_template_metadata(template: Obj, path: str, old: Obj | None = None) -> list[FieldError]:
    """Labels and annotations of a PodTemplateSpec alone. old: as above."""
    return _template_metadata(template, path, STRICT if old is None else _tolerating_template(old))


def _tolerating_template(old: Obj) -> PodOptions:
    stored = (old.get("metadata") or {}).get("annotations") or {}
    cost = pod_annotations.has_invalid_deletion_cost(stored)
    return tolerating(old.get("spec") or {}, is_pod=False, invalid_deletion_cost=cost)


def _template_metadata(template: Obj, path: str, options: PodOptions) -> list[FieldError]:
    metadata = template.get("metadata") or {}
    errors: list[FieldError] = []
    if given := metadata.get("labels"):
        errors += labels.validate_labels(given, path + ".labels")
    if annotations := metadata.get("annotations"):
        errors += meta.validate_annotations(annotations, path + ".annotations")
        errors += pod_annotations.validate(annotations, template.get("spec") or {}, path + ".annotations", options)
    return errors


def _template(template: Obj, path: str, options: PodOptions) -> list[FieldError]:
    spec = template.get("spec") or {}
    errors = _template_metadata(template, path, options)
    annotations = (template.get("metadata") or {}).get("annotations")
    errors += validate_pod_spec(spec, path + ".spec", options, annotations=annotations)
    if annotations:
        errors += pod_annotations.validate_profiles_match(annotations, spec, path + ".spec")
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(field.forbidden(path + ".spec.ephemeralContainers", text))
    return errors


def validate_pod(pod: Obj, options: PodOptions = STRICT_POD) -> list[FieldError]:
    """A Pod's annotations and spec, with what only real pods are held to."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    annotations = metadata.get("annotations")
    errors = (
        pod_annotations.validate(annotations, spec, "metadata.annotations", options)
        if annotations
        else list[FieldError]()
    )
    errors += validate_pod_spec(spec, "spec", options, metadata.get("name") or "", annotations)
    if not spec.get("serviceAccountName"):
        for position, volume in enumerate(spec.get("volumes") or ()):
            for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    at = f"spec.volumes[{position}].projected.sources[{number}].serviceAccountToken"
                    errors.append(field.forbidden(at, "must not be specified when serviceAccountName is not set"))
    for group in ("containers", "initContainers"):
        for position, container in enumerate(spec.get(group) or ()):
            image = container.get("image") or " "
            if image[0] <= " " or image[-1] <= " ":
                errors += containers.validate_image_spaces(container, f"spec.{group}[{position}]")
    return errors


def validate_pod_spec(
    spec: Obj,
    path: str,
    options: PodOptions = STRICT,
    pod_name: str = "",
    annotations: Mapping[str, str] | None = None,
) -> list[FieldError]:
    """A PodSpec. pod_name, annotations: of a Pod; templates leave the name out."""
    errors: list[FieldError] = []
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        errors.append(field.required(path + ".terminationGracePeriodSeconds"))
    by_name: Mapping[str, Obj] = {}
    if given := spec.get("volumes"):
        by_name, found = volumes.validate_volumes(given, path + ".volumes", pod_name, options)
        errors += found
    claims: list[str] = []
    if given := spec.get("resourceClaims"):
        claims = [claim["name"] for claim in given if claim.get("name")]
        mirror = bool(pod_name) and pod_annotations.MIRROR in (annotations or ())
        errors += _resource_claims(given, path + ".resourceClaims", mirror=mirror)
    around = containers.Surroundings(spec, by_name, claims, grace, options)
    errors += containers.validate_containers(around, path)
    if spec.get("initContainers"):
        errors += containers.validate_init_containers(around, path)
    if spec.get("ephemeralContainers"):
        errors += containers.validate_ephemeral_containers(around, path)
    if spec.get("resources") is not None:
        errors += _pod_resources(spec, claims, path, options)
    if spec.get("hostNetwork"):
        errors += _host_network(spec, path, options)
    policy = spec.get("restartPolicy")
    if policy not in _RESTART_POLICIES:
        at = path + ".restartPolicy"
        errors.append(field.not_supported(at, policy, _RESTART_POLICIES) if policy else field.required(at))
    policy = spec.get("dnsPolicy")
    if policy not in _DNS_POLICIES:
        at = path + ".dnsPolicy"
        errors.append(field.not_supported(at, policy, _DNS_POLICIES) if policy else field.required(at))
    if given := spec.get("nodeSelector"):
        errors += labels.validate_labels(given, path + ".nodeSelector")
    context = spec.get("securityContext")
    if context or "shareProcessNamespace" in spec:
        errors += security.validate_pod_context(context, spec, path + ".securityContext", options)
    if given := spec.get("affinity"):
        errors += scheduling.validate_affinity(given, path + ".affinity", options)
    if "dnsConfig" in spec or policy == "None":
        errors += _dns_config(spec.get("dnsConfig"), policy or "", path + ".dnsConfig")
    if given := spec.get("readinessGates"):
        for position, gate in enumerate(given):
            name, at = gate.get("conditionType") or "", f"{path}.readinessGates[{position}].conditionType"
            errors += [field.invalid(at, name, text) for text in names.qualified_name(name)]
    if given := spec.get("schedulingGates"):
        errors += _scheduling_gates(given, path + ".schedulingGates")
    if given := spec.get("topologySpreadConstraints"):
        errors += scheduling.validate_spread(given, path + ".topologySpreadConstraints", options)
    if _has_host_process(spec):
        errors += security.validate_host_process(spec, path)
    if spec.get("hostUsers") is False:
        errors += security.validate_user_namespace(spec, path, options)
    if spec.get("hostnameOverride") is not None:
        errors += _hostname_override(spec, path)
    errors += _named(spec, path, _WHOSE_AND_WHERE)
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and not 1 <= seconds <= _MAX_INT32:
        errors.append(field.invalid(path + ".activeDeadlineSeconds", seconds, names.range_text(1, _MAX_INT32)))
    errors += _named(spec, path, _HOST_NAMES)
    if given := spec.get("tolerations"):
        errors += scheduling.validate_tolerations(given, path + ".tolerations")
    if given := spec.get("hostAliases"):
        errors += _host_aliases(given, path + ".hostAliases")
    if (name := spec.get("priorityClassName")) and (texts := names.dns_subdomain(name)):
        errors += [field.invalid(path + ".priorityClassName", name, text) for text in texts]
    if (name := spec.get("runtimeClassName")) is not None:
        errors += [field.invalid(path + ".runtimeClassName", name, text) for text in names.dns_subdomain(name)]
    preemption = spec.get("preemptionPolicy")
    if preemption is not None and preemption not in ("PreemptLowerPriority", "Never"):
        errors += validate_preemption_policy(preemption, path + ".preemptionPolicy")
    if given := spec.get("overhead"):
        errors += resources.validate_requirements({"limits": given}, path + ".overhead")
    if spec.get("os") is not None:
        errors += security.validate_os(spec, path)
    if _has_file_keys(spec):
        errors += _file_key_volumes(spec, path)
    return errors


_WHOSE_AND_WHERE = (("serviceAccountName", names.dns_subdomain), ("nodeName", names.dns_subdomain))
_HOST_NAMES = (("hostname", names.dns_label), ("subdomain", names.dns_label))


def _named(spec: Obj, path: str, rules: Sequence[tuple[str, Callable[[str], list[str]]]]) -> list[FieldError]:
    """Fields that name something, where they are set."""
    errors: list[FieldError] = []
    for key, check in rules:
        if (value := spec.get(key)) and (texts := check(value)):
            errors += [field.invalid(f"{path}.{key}", value, text) for text in texts]
    return errors


def validate_preemption_policy(policy: str, path: str) -> list[FieldError]:
    if policy in ("PreemptLowerPriority", "Never"):
        return []
    return [field.not_supported(path, policy, ("PreemptLowerPriority", "Never")) if policy else field.required(path)]


# -- resources


def _resource_claims(claims: Any, path: str, *, mirror: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, claim in enumerate(claims):
        if mirror:
            errors.append(field.forbidden("[]", "static pods do not support resource claims"))
            continue
        at, name = f"{path}[{position}]", claim.get("name") or ""
        own, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        if not name:
            errors.append(field.required(at + ".name"))
        elif name in seen:
            errors.append(field.duplicate(at + ".name", name))
        else:
            errors += [field.invalid(at + ".name", name, text) for text in names.dns_label(name)]
            seen.add(name)
        drawn = {"Name": name, "ResourceClaimName": own, "ResourceClaimTemplateName": template}
        if own is not None and template is not None:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(field.invalid(at, drawn, text))
        if own is None and template is None:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(field.invalid(at, drawn, text))
        for key, value in (("resourceClaimName", own), ("resourceClaimTemplateName", template)):
            if value is not None:
                errors += [field.invalid(f"{at}.{key}", value, text) for text in names.dns_subdomain(value)]
    return errors


def _pod_resources(spec: Obj, claims: list[str], path: str, options: PodOptions) -> list[FieldError]:
    """spec.resources, and that the containers fit in it."""
    level, at = spec["resources"], path + ".resources"
    if (spec.get("os") or {}).get("name") == "windows":
        return [field.forbidden(at, "may not be set for a windows pod")]
    errors: list[FieldError] = []
    if level.get("claims") is not None:
        errors.append(field.forbidden(at + ".claims", "claims may not be set for Resources at pod-level"))
    allow = options.indivisible_huge_pages
    errors += resources.validate_requirements(level, at, claims, pod_level=True, allow_indivisible=allow)
    asked, bound = quantity.parse_list(level.get("requests")), quantity.parse_list(level.get("limits"))
    pod = {"spec": dict(spec)}
    for name, total in pods.requests(pod, overhead=False, pod_level=False).items():
        if name in asked and total > asked[name]:
            text = f"must be greater than or equal to aggregate container requests of {total}"
            errors.append(field.invalid(f"{at}.requests[{name}]", str(asked[name]), text))
    for name, total in pods.limits(pod, overhead=False, pod_level=False).items():
        if resources.is_huge_page(name) and name in bound and total > bound[name]:
            text = f"must be greater than or equal to aggregate container limits of {total}"
            errors.append(field.invalid(f"{at}.limits[{name}]", str(bound[name]), text))
    for position, container in enumerate(spec.get("containers") or ()):
        for name, value in quantity.parse_list((container.get("resources") or {}).get("limits")).items():
            if name in bound and value > bound[name]:
                text = f"must be less than or equal to pod limits of {bound[name]}"
                where = f"{at}.containers[{position}][{name}].limits"
                errors.append(field.invalid(where, str(value), text))
    return errors


# -- network and names


def _host_network(spec: Obj, path: str, options: PodOptions) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (options.is_pod or host) and host != own:
                at = f"{path}.containers[{position}].ports[{number}].hostPort"
                text = "must match `containerPort` when `hostNetwork` is true"
                errors.append(field.invalid(at, host, text))
    return errors


def _dns_config(config: Obj | None, policy: str, path: str) -> list[FieldError]:
    if policy == "None":
        if config is None:
            return [field.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [field.required(path + ".nameservers", text)]
    if config is None:
        return []
    errors: list[FieldError] = []
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _MAX_NAMESERVERS:
        text = f"must not have more than {_MAX_NAMESERVERS} nameservers"
        errors.append(field.invalid(path + ".nameservers", servers, text))
    for position, server in enumerate(servers):
        errors += ips.legacy_ip(f"{path}.nameservers[{position}]", server)
    if len(searches) > _MAX_SEARCHES:
        text = f"must not have more than {_MAX_SEARCHES} search paths"
        errors.append(field.invalid(path + ".searches", searches, text))
    if len(" ".join(searches).encode()) > _MAX_SEARCH_CHARS:
        text = f"must not have more than {_MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        errors.append(field.invalid(path + ".searches", searches, text))
    for position, search in enumerate(searches):
        if search != ".":
            name, at = search.removesuffix("."), f"{path}.searches[{position}]"
            errors += [field.invalid(at, name, text) for text in names.dns_subdomain_with_underscore(name)]
    for position, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(field.required(f"{path}.options[{position}]", "must not be empty"))
    return errors


def _host_aliases(aliases: Any, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for position, alias in enumerate(aliases):
        at = f"{path}[{position}]"
        errors += ips.legacy_ip(at + ".ip", alias.get("ip") or "")
        for number, host in enumerate(alias.get("hostnames") or ()):
            texts = names.dns_subdomain(host)
            errors += [field.invalid(f"{at}.hostnames[{number}]", host, text) for text in texts]
    return errors


def _hostname_override(spec: Obj, path: str) -> list[FieldError]:
    path += ".hostnameOverride"
    name = spec["hostnameOverride"]
    errors: list[FieldError] = []
    if spec.get("setHostnameAsFQDN"):
        errors.append(field.forbidden(path, "may not be specified when setHostnameAsFQDN is true"))
    if spec.get("hostNetwork"):
        errors.append(field.forbidden(path, "may not be specified when hostNetwork is true"))
    if len(name) > _HOSTNAME_LIMIT:
        errors.append(field.too_long(path, _HOSTNAME_LIMIT))
    return errors + [field.invalid(path, name, text) for text in names.dns_subdomain(name)]


def _scheduling_gates(gates: Any, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for position, gate in enumerate(gates):
        at, name = f"{path}[{position}]", gate.get("name") or ""
        errors += [field.invalid(at, name, text) for text in names.qualified_name(name)]
        if name in seen:
            errors.append(field.duplicate(at, name))
        seen.add(name)
    return errors


# -- what rarely occurs


def _has_host_process(spec: Obj) -> bool:
    """Whether anything says hostProcess; cheap for specs without security contexts."""
    context = spec.get("securityContext")
    if context and context.get("windowsOptions"):
        return True
    return any(
        (container.get("securityContext") or {}).get("windowsOptions")
        for group in ("containers", "initContainers", "ephemeralContainers")
        for container in spec.get(group) or ()
        if "securityContext" in container
    )


def _has_file_keys(spec: Obj) -> bool:
    return any(
        (variable.get("valueFrom") or {}).get("fileKeyRef") is not None
        for group in ("containers", "initContainers", "ephemeralContainers")
        for container in spec.get(group) or ()
        if "env" in container
        for variable in container["env"] or ()
    )


def _file_key_volumes(spec: Obj, path: str) -> list[FieldError]:
    """Environment files must lie in emptyDir volumes."""
    sources = {volume.get("name"): volume for volume in spec.get("volumes") or ()}
    errors: list[FieldError] = []
    for container, at in containers_with_path(spec, path):
        for position, variable in enumerate(container.get("env") or ()):
            reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if reference is None:
                continue
            name, where = reference.get("volumeName") or "", f"{at}.env[{position}].valueFrom.fileKeyRef.volumeName"
            if name not in sources:
                errors.append(field.not_found(where, name))
            elif sources[name].get("emptyDir") is None:
                errors.append(field.invalid(where, name, "referenced volume must be of type emptyDir"))
    return errors
