"""The file of --admission-control-config-file: what each plugin is configured with, inline or in a file of its own.

    found = read(path, names)          ConfigError
    found.of("PodSecurity")            the bytes of its configuration; None when it has none

What the bytes mean is each plugin's own business. Files that are not of kind AdmissionConfiguration are taken as they are by the
two plugins that were once configured so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from apiserver.configscheme import ConfigError, Entry, Scheme, Types, Unregistered, file_error, parse

_GROUP = "apiserver.config.k8s.io"
_OLD = "apiserver.k8s.io/v1alpha1"
_TYPES: Types = {
    "AdmissionConfiguration": {
        "plugins": [["l", "#AdmissionPluginConfiguration", "atomic"], "[]AdmissionPluginConfiguration"]
    },
    "AdmissionPluginConfiguration": {
        "name": ["s", "string"],
        "path": ["s", "string"],
        "configuration": ["R", "*runtime.Unknown"],
    },
    "Other": {},
}
_SCHEME = Scheme(
    "k8s.io/apiserver/pkg/server/options/admission.go:51",
    _TYPES,
    {
        (f"{_GROUP}/v1", "AdmissionConfiguration"): Entry("AdmissionConfiguration", ""),
        (_OLD, "AdmissionConfiguration"): Entry("AdmissionConfiguration", ""),
        (f"{_GROUP}/v1", "AuthorizationConfiguration"): Entry("Other", "*apiserver.AuthorizationConfiguration"),
        (f"{_GROUP}/v1", "EncryptionConfiguration"): Entry("Other", "*apiserver.EncryptionConfiguration"),
    },
)
_OLD_STYLE = {"imagePolicy": "ImagePolicyWebhook", "podNodeSelectorPluginConfig": "PodNodeSelector"}


@dataclass(frozen=True, slots=True)
class Configurations:
    """By plugin: bytes that stand in the file, or the file that has them. The first of several for one plugin counts."""

    inline: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    def of(self, name: str) -> bytes | None:
        if name in self.inline:
            return self.inline[name]
        path = self.files.get(name)
        if path is None:
            return None
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(f"Couldn't open admission plugin configuration {path}: {file_error(error)}") from None


def read(path: Path | None) -> Configurations:
    """ConfigError."""
    if path is None:
        return Configurations()
    try:
        raw = path.read_bytes()
    except OSError as error:
        text = f'unable to read admission control configuration from "{path}" [{file_error(error)}]'
        raise ConfigError(text) from None
    try:
        found = _SCHEME.read(raw)
    except Unregistered:
        document = parse(raw).obj
        if isinstance(document, dict) and any(key in document for key in _OLD_STYLE):
            return Configurations(dict.fromkeys(_OLD_STYLE.values(), raw))
        raise
    if found.entry.go:
        raise ConfigError(f"unexpected type: {found.entry.go}")
    return _collect(found.obj.get("plugins") or (), path.parent)


def _collect(plugins: Sequence[Mapping[str, Any]], base: Path) -> Configurations:
    inline: dict[str, bytes] = {}
    files: dict[str, Path] = {}
    for plugin in plugins:
        name = plugin.get("name") or ""
        if name in inline or name in files:
            continue
        if plugin.get("configuration") is not None:
            inline[name] = orjson.dumps(plugin["configuration"])
        elif plugin.get("path"):
            files[name] = base / plugin["path"]
    return Configurations(inline, files)
