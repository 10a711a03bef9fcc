"""Kubeconfigs: written for the administrator and every component, and merged into a user's own, as kind does."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from steersman.paths import write_private

CONTEXT = "steersman"


class KubeconfigError(Exception):
    """A user's kubeconfig that cannot be merged into."""


def build(
    *, server: str, ca_file: Path, certificate: Path, key: Path, user: str, context: str = CONTEXT
) -> dict[str, Any]:
    """A kubeconfig with everything inside, so that it may be copied anywhere."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": context, "cluster": {"server": server, "certificate-authority-data": _embedded(ca_file)}}
        ],
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": _embedded(certificate), "client-key-data": _embedded(key)},
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
        "current-context": context,
    }


def refresh(path: Path, ca_file: Path, certificate: Path, key: Path) -> None:
    """Put other certificates into a kubeconfig of build()."""
    config = yaml.safe_load(path.read_text())
    config["clusters"][0]["cluster"]["certificate-authority-data"] = _embedded(ca_file)
    config["users"][0]["user"] = {"client-certificate-data": _embedded(certificate), "client-key-data": _embedded(key)}
    write(path, config)


def _embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def write(path: Path, config: dict[str, Any]) -> None:
    """Write it for its owner alone; an unchanged file is left as it is."""
    text = yaml.safe_dump(config, sort_keys=False)
    try:
        if path.read_text() == text:
            return
    except FileNotFoundError:
        pass
    write_private(path, text)


def rename(config: dict[str, Any], context: str) -> None:
    """Give a kubeconfig of build() another context, cluster and user name, so that several can live in one file."""
    user = f"{context}-admin"
    config["clusters"][0]["name"] = config["contexts"][0]["name"] = config["current-context"] = context
    config["users"][0]["name"] = user
    config["contexts"][0]["context"] = {"cluster": context, "user": user}


def merge(target: Path, addition: dict[str, Any]) -> None:
    """Put the addition's cluster, user and context into the target and make its context the current one.

    Entries of the same names are replaced, all others kept. Raises KubeconfigError when the target is not a kubeconfig;
    it is then untouched.
    """
    try:
        existing = yaml.safe_load(target.read_text()) if target.exists() else None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # The error itself quotes the file, with its secrets.
        mark = getattr(error, "problem_mark", None)
        where = f": line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise KubeconfigError(f"{target} is not valid YAML{where}") from None
    if existing is None:
        existing = {"apiVersion": "v1", "kind": "Config"}
    if not isinstance(existing, dict) or existing.get("kind", "Config") != "Config":
        raise KubeconfigError(f"{target} is not a kubeconfig")
    for section in ("clusters", "users", "contexts"):
        entries = existing.get(section) or []
        if not isinstance(entries, list):
            raise KubeconfigError(f"{target}: {section} is not a list")
        names = {entry["name"] for entry in addition[section]}
        kept = [entry for entry in entries if not (isinstance(entry, dict) and entry.get("name") in names)]
        existing[section] = kept + addition[section]
    existing["current-context"] = addition["current-context"]
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(target.resolve(), yaml.safe_dump(existing, sort_keys=False))
