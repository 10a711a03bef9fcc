"""A container's environment: service variables, envFrom, env with references, in the original's order.

Called by the worker when it makes a container. ConfigMaps and Secrets are asked for through `objects`, which the caller
provides; whatever is missing and not optional is a ConfigError, whose text goes into the container's status.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from apimachinery.gvk import Resource
from client.resources import CONFIG_MAPS, SECRETS
from nodeagent import expansion, fields

Obj = dict[str, Any]
Objects = Callable[[Resource, str, str], Awaitable[Obj | None]]
"""(resource, namespace, name) -> the object, None when there is none."""


class ConfigError(Exception):
    """The container cannot be configured; the text is shown in its status (CreateContainerConfigError)."""


def service_variables(services: Iterable[Obj], namespace: str, enabled: bool) -> dict[str, str]:
    """The variables that name services: the API's own always, those of the pod's namespace if it wants them."""
    chosen: dict[str, Obj] = {}
    for service in services:
        spec, metadata = service.get("spec") or {}, service["metadata"]
        if not spec.get("clusterIP") or spec["clusterIP"] == "None":
            continue
        if metadata["namespace"] == namespace and enabled:
            chosen[metadata["name"]] = service
        elif (metadata["namespace"], metadata["name"]) == ("default", "kubernetes"):
            chosen.setdefault("kubernetes", service)
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result |= _of_service(chosen[name])
    return result


def _of_service(service: Obj) -> dict[str, str]:
    spec = service["spec"]
    prefix = service["metadata"]["name"].upper().replace("-", "_")
    ports = spec.get("ports") or []
    result = {f"{prefix}_SERVICE_HOST": spec["clusterIP"]}
    if ports:
        result[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            result[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    host = f"[{spec['clusterIP']}]" if ":" in spec["clusterIP"] else spec["clusterIP"]
    for position, port in enumerate(ports):
        protocol = (port.get("protocol") or "TCP").lower()
        url = f"{protocol}://{host}:{port['port']}"
        if position == 0:
            result[f"{prefix}_PORT"] = url
        stem = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
        result |= {
            stem: url,
            f"{stem}_PROTO": protocol,
            f"{stem}_PORT": str(port["port"]),
            f"{stem}_ADDR": spec["clusterIP"],
        }
    return result


async def build(
    pod: Obj,
    container: Obj,
    *,
    objects: Objects,
    services: Mapping[str, str],
    status: Mapping[str, Any],
    allocatable: Mapping[str, str],
) -> dict[str, str]:
    """The whole environment. status: hostIP, podIP and their plurals. ConfigError when something required is missing."""
    namespace = pod["metadata"]["namespace"]
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        result |= await _from_source(source, namespace, objects)
    own: dict[str, str] = {}
    for entry in container.get("env") or ():
        name = entry["name"]
        origin = entry.get("valueFrom")
        if not origin:
            value = expansion.expand(entry.get("value") or "", own, result, services)
        else:
            found = await _value_from(pod, container, origin, namespace, objects, status, allocatable)
            if found is None:
                continue  # optional, and not there
            value = found
        own[name] = value
        result[name] = value
    return {**services, **result}


async def _from_source(source: Obj, namespace: str, objects: Objects) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for key, resource, word in (("configMapRef", CONFIG_MAPS, "configmap"), ("secretRef", SECRETS, "secret")):
        reference = source.get(key)
        if not reference:
            continue
        found = await objects(resource, namespace, reference["name"])
        if found is None:
            if reference.get("optional"):
                return {}
            raise ConfigError(f'{word} "{reference["name"]}" not found')
        data = _texts(found, resource)
        # Any name but an empty one or one with "=" can be set; validation has the same rule for keys.
        return {prefix + name: value for name, value in data.items() if "=" not in name}
    return {}


def _texts(obj: Obj, resource: Resource) -> dict[str, str]:
    data = obj.get("data") or {}
    if resource is SECRETS:
        return {key: base64.b64decode(value).decode("utf-8", "surrogateescape") for key, value in data.items()}
    return dict(data)


async def _value_from(
    pod: Obj,
    container: Obj,
    origin: Obj,
    namespace: str,
    objects: Objects,
    status: Mapping[str, Any],
    allocatable: Mapping[str, str],
) -> str | None:
    try:
        if origin.get("fieldRef"):
            return fields.extract(pod, origin["fieldRef"]["fieldPath"], status)
        if origin.get("resourceFieldRef"):
            return fields.extract_resource(pod, origin["resourceFieldRef"], container["name"], allocatable)
    except fields.FieldError as error:
        raise ConfigError(str(error)) from None
    for key, resource, word in (("configMapKeyRef", CONFIG_MAPS, "ConfigMap"), ("secretKeyRef", SECRETS, "Secret")):
        reference = origin.get(key)
        if not reference:
            continue
        found = await objects(resource, namespace, reference["name"])
        if found is None:
            if reference.get("optional"):
                return None
            raise ConfigError(f'{word.lower()} "{reference["name"]}" not found')
        values = _texts(found, resource)
        if reference["key"] not in values:
            if reference.get("optional"):
                return None
            raise ConfigError(f"couldn't find key {reference['key']} in {word} {namespace}/{reference['name']}")
        return values[reference["key"]]
    raise ConfigError("the source of an environment variable is not supported by this node agent")
