"""Which Pod Security Standard a namespace asks for, by its labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from apimachinery import field
from apimachinery.field import FieldError

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
LATEST = 10_000  # the minor version that stands for "latest"
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Standard:
    """A level at a version. minor: of Kubernetes 1.x, LATEST for the newest."""

    level: str = "privileged"
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:" + ("latest" if self.minor == LATEST else f"v1.{self.minor}")


@dataclass(frozen=True, slots=True)
class Policy:
    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()


PRIVILEGED = Policy()  # what a namespace without labels asks for: nothing


def of_labels(labels: Mapping[str, str], defaults: Policy = PRIVILEGED) -> tuple[Policy, list[FieldError]]:
    """The policy, and what is wrong with the labels. defaults: for what they do not say.

    An unreadable level is restricted where it is enforced, and privileged otherwise; an unreadable version is the latest.
    """
    if not any(label.startswith(PREFIX) for label in labels):
        return defaults, []
    errors: list[FieldError] = []
    modes: dict[str, Standard] = {}
    sound = set()
    for mode in ("enforce", "audit", "warn"):
        standard: Standard = getattr(defaults, mode)
        stated = labels.get(PREFIX + mode)
        if stated is not None:
            before = len(errors)
            standard = replace(standard, level=level(stated, f"metadata.labels[{PREFIX}{mode}]", errors))
            if len(errors) == before:
                sound.add(mode)
            elif mode != "enforce":
                standard = replace(standard, level="privileged")
        version = labels.get(f"{PREFIX}{mode}-version")
        if version is not None:
            standard = replace(standard, minor=minor(version, f"metadata.labels[{PREFIX}{mode}-version]", errors))
        modes[mode] = standard
    # What is enforced is also warned of, so that controllers' authors learn of it.
    if "enforce" in sound:
        enforce, warn = modes["enforce"], modes["warn"]
        if PREFIX + "warn" not in labels and LEVELS.index(enforce.level) > LEVELS.index(warn.level):
            warn = replace(warn, level=enforce.level)
            if PREFIX + "warn-version" not in labels:
                warn = replace(warn, minor=enforce.minor)
        modes["warn"] = warn
    return Policy(modes["enforce"], modes["audit"], modes["warn"]), errors


def level(value: str, path: str, errors: list[FieldError]) -> str:
    """A level by name; an unreadable one is restricted, and told of."""
    if value in LEVELS:
        return value
    errors.append(field.invalid(path, value, f"must be one of {', '.join(LEVELS)}"))
    return "restricted"


def minor(value: str, path: str, errors: list[FieldError]) -> int:
    """A version's minor part; an unreadable one is the latest, and told of."""
    if value == "latest":
        return LATEST
    match = _VERSION.fullmatch(value)
    if match and len(value) < 20:
        return int(match[1])
    errors.append(field.invalid(path, value, 'must be "latest" or "v1.x"'))
    return LATEST
