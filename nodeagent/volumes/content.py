"""What ConfigMap, Secret, downward API and projected volumes hold: from objects to files. Pure but for asking for objects.

Missing things are VolumeErrors with the original's texts, unless the volume says that they are optional.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from client.resources import CONFIG_MAPS, SECRETS
from nodeagent import fields
from nodeagent.environment import Objects
from nodeagent.volumes.atomic import File

Obj = dict[str, Any]
Tokens = Callable[[Obj, Obj], Awaitable[str]]
"""(pod, serviceAccountToken source) -> a token that is valid for a while."""


class VolumeError(Exception):
    """A volume cannot be set up; the text is told in a FailedMount event."""


@dataclass(frozen=True, slots=True)
class Context:
    """What sources may ask for. status: the pod's addresses. allocatable: the node's, by resource name."""

    pod: Obj
    objects: Objects
    tokens: Tokens
    status: Mapping[str, Any]
    allocatable: Mapping[str, str]

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def fs_group(self) -> int | None:
        group = (self.pod["spec"].get("securityContext") or {}).get("fsGroup")
        return None if group is None else int(group)


def _mode(source: Mapping[str, Any], item: Mapping[str, Any] | None = None, default: int = 0o644) -> int:
    if item and item.get("mode") is not None:
        return int(item["mode"])
    own = source.get("defaultMode")
    return default if own is None else int(own)


def _pick(
    data: Mapping[str, bytes], items: Iterable[Obj] | None, source: Obj, default: int, what: str
) -> dict[str, File]:
    """All keys, or those that items name, under their paths."""
    if not items:
        return {key: File(value, _mode(source, default=default)) for key, value in data.items()}
    result = {}
    for item in items:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            raise VolumeError(f"{what}: {item['key']}")
        result[item["path"]] = File(data[item["key"]], _mode(source, item, default))
    return result


async def config_map(context: Context, source: Obj, *, default: int = 0o644) -> dict[str, File]:
    found = await context.objects(CONFIG_MAPS, context.namespace, source["name"])
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'configmap "{source["name"]}" not found')
    data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return _pick(data, source.get("items"), source, default, "configmap references non-existent config key")


async def secret(context: Context, source: Obj, *, default: int = 0o644) -> dict[str, File]:
    name = source.get("secretName") or source.get("name") or ""
    found = await context.objects(SECRETS, context.namespace, name)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeError(f'secret "{name}" not found')
    data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return _pick(data, source.get("items"), source, default, "references non-existent secret key")


async def downward_api(context: Context, source: Obj, *, default: int = 0o644) -> dict[str, File]:
    result = {}
    for item in source.get("items") or ():
        try:
            if item.get("fieldRef"):
                text = fields.extract(context.pod, item["fieldRef"]["fieldPath"], context.status)
            else:
                text = fields.extract_resource(context.pod, item["resourceFieldRef"], "", context.allocatable)
        except fields.FieldError as error:
            raise VolumeError(str(error)) from None
        result[item["path"]] = File(text.encode(), _mode(source, item, default))
    return result


async def projected(context: Context, source: Obj) -> dict[str, File]:
    """All sources of a projected volume together; a later one wins a path."""
    result: dict[str, File] = {}
    default = _mode(source)
    for part in source.get("sources") or ():
        if part.get("configMap"):
            result |= await config_map(context, part["configMap"], default=default)
        elif part.get("secret"):
            result |= await secret(context, part["secret"], default=default)
        elif part.get("downwardAPI"):
            result |= await downward_api(context, part["downwardAPI"], default=default)
        elif part.get("serviceAccountToken"):
            result |= await _token(context, part["serviceAccountToken"], default)
        else:
            kind = next(iter(part), "unknown")
            raise VolumeError(f"projected volume source {kind} is not supported by this node agent")
    return result


async def _token(context: Context, source: Obj, default: int) -> dict[str, File]:
    """A token is readable by its container's user alone, or by the fsGroup's members where there is one."""
    token = await context.tokens(context.pod, source)
    spec = context.pod["spec"]
    owner, mode = None, default
    if context.fs_group is not None:
        mode = 0o600
    else:
        users = {
            _user(context.pod, container) for container in (*(spec.get("initContainers") or ()), *spec["containers"])
        }
        if len(users) == 1 and None not in users:
            owner, mode = users.pop(), 0o600
    return {source["path"]: File(token.encode(), mode, owner)}


def _user(pod: Obj, container: Obj) -> int | None:
    own = (container.get("securityContext") or {}).get("runAsUser")
    outer = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    chosen = own if own is not None else outer
    return None if chosen is None else int(chosen)


BUILDERS: Mapping[str, Callable[[Context, Obj], Awaitable[dict[str, File]]]] = {
    "configMap": config_map,
    "secret": secret,
    "downwardAPI": downward_api,
    "projected": projected,
}
"""Volume sources whose files are written atomically and kept current."""


def references(pod: Obj) -> set[tuple[str, str]]:
    """("configmaps" | "secrets", name) of everything that the pod's volumes and environments may need."""
    found: set[tuple[str, str]] = set()

    def note(plural: str, name: str | None) -> None:
        if name:
            found.add((plural, name))

    for volume in pod["spec"].get("volumes") or ():
        note("configmaps", (volume.get("configMap") or {}).get("name"))
        note("secrets", (volume.get("secret") or {}).get("secretName"))
        for part in (volume.get("projected") or {}).get("sources") or ():
            note("configmaps", (part.get("configMap") or {}).get("name"))
            note("secrets", (part.get("secret") or {}).get("name"))
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod["spec"].get(kind) or ():
            for source in container.get("envFrom") or ():
                note("configmaps", (source.get("configMapRef") or {}).get("name"))
                note("secrets", (source.get("secretRef") or {}).get("name"))
            for entry in container.get("env") or ():
                origin = entry.get("valueFrom") or {}
                note("configmaps", (origin.get("configMapKeyRef") or {}).get("name"))
                note("secrets", (origin.get("secretKeyRef") or {}).get("name"))
    for entry in pod["spec"].get("imagePullSecrets") or ():
        note("secrets", entry.get("name"))
    return found
