"""RBAC rules: what one allows, and whether a set of them covers another. Pure.

A rule is compiled once when its role is read; matching is a few set look-ups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery.field import go_quote

RawRule = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled PolicyRule. raw: the rule as stored. names: () for any object."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: frozenset[str]
    url_prefixes: tuple[str, ...]
    raw: RawRule

    def allows_resource(self, verb: str, group: str, combined: str, subresource: str) -> bool:
        """Whether it allows the verb on some object of the resource. combined: "pods" or "pods/log"."""
        if verb not in self.verbs and "*" not in self.verbs:
            return False
        if group not in self.groups and "*" not in self.groups:
            return False
        resources = self.resources
        return combined in resources or "*" in resources or (subresource != "" and f"*/{subresource}" in resources)

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether it allows the verb on a non-resource path."""
        if verb not in self.verbs and "*" not in self.verbs:
            return False
        return path in self.urls or "*" in self.urls or path.startswith(self.url_prefixes or ("\0",))


def compile_rule(raw: RawRule) -> Rule:
    urls = raw.get("nonResourceURLs") or ()
    return Rule(
        frozenset(raw.get("verbs") or ()),
        frozenset(raw.get("apiGroups") or ()),
        frozenset(raw.get("resources") or ()),
        frozenset(raw.get("resourceNames") or ()),
        frozenset(urls),
        tuple(url.rstrip("*") for url in urls if url.endswith("*")),
        raw,
    )


def compile_rules(raw: Iterable[RawRule] | None) -> tuple[Rule, ...]:
    return tuple(compile_rule(rule) for rule in raw or ())


@dataclass(frozen=True, slots=True)
class Atom:
    """The least thing a rule can grant: one verb on one resource of one group (and one name), or on one path."""

    verb: str
    group: str = ""
    resource: str = ""
    name: str = ""
    url: str = ""


def break_down(raw: RawRule) -> Iterator[Atom]:
    """What a rule grants, piece by piece."""
    verbs = raw.get("verbs") or ()
    for group in raw.get("apiGroups") or ():
        for resource in raw.get("resources") or ():
            for verb in verbs:
                for name in raw.get("resourceNames") or ("",):
                    yield Atom(verb, group, resource, name)
    for url in raw.get("nonResourceURLs") or ():
        for verb in verbs:
            yield Atom(verb, url=url)


def _covers(owner: Rule, atom: Atom) -> bool:
    if "*" not in owner.verbs and atom.verb not in owner.verbs:
        return False
    if atom.url:
        # The original's comparison asks the same of the name lists here: a rule with names covers no path.
        if owner.names:
            return False
        return atom.url in owner.urls or any(atom.url.startswith(prefix) for prefix in owner.url_prefixes)
    if "*" not in owner.groups and atom.group not in owner.groups:
        return False
    if owner.names and atom.name not in owner.names:
        return False
    if "*" in owner.resources or atom.resource in owner.resources:
        return True
    _, slash, subresource = atom.resource.partition("/")
    return bool(slash) and f"*/{subresource}" in owner.resources


def missing(owner: Sequence[Rule], wanted: Iterable[RawRule]) -> list[Atom]:
    """What `wanted` grants and `owner` does not."""
    return [atom for rule in wanted for atom in break_down(rule) if not any(_covers(mine, atom) for mine in owner)]


def describe(atoms: Iterable[Atom]) -> list[str]:
    """Missing rights as the original prints them: one line per resource with all its verbs, sorted."""
    simple: dict[tuple[str, str], list[str]] = {}
    lines = set()
    for atom in atoms:
        if atom.url:
            lines.add(f"{{NonResourceURLs:{_quoted([atom.url])}, Verbs:{_quoted([atom.verb])}}}")
        elif atom.name:
            lines.add(
                f"{{APIGroups:{_quoted([atom.group])}, Resources:{_quoted([atom.resource])}, "
                f"ResourceNames:{_quoted([atom.name])}, Verbs:{_quoted([atom.verb])}}}"
            )
        else:
            simple.setdefault((atom.group, atom.resource), []).append(atom.verb)
    for (group, resource), verbs in simple.items():
        lines.add(f"{{APIGroups:{_quoted([group])}, Resources:{_quoted([resource])}, Verbs:{_quoted(verbs)}}}")
    return sorted(lines)


def _quoted(values: Iterable[str]) -> str:
    return "[" + " ".join(go_quote(value) for value in values) + "]"


quote_list = _quoted
