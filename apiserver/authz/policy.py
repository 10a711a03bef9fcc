"""All roles and bindings, indexed by subject and kept up to date.

Changes mark keys as stale; the next question re-reads just those objects before it is answered. The first question reads
everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from apimachinery.field import go_quote
from apiserver.authn.user import User
from apiserver.authz.rules import Rule, compile_rules
from apiserver.registry.kind import NotifyingReader, Obj

GROUP = "rbac.authorization.k8s.io"
_PLURALS = ("clusterroles", "roles", "clusterrolebindings", "rolebindings")

Key = tuple[str, str]  # (namespace or "", name)
Subject = tuple[bool, str]  # (is a group, name)


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding as far as questions need it. subjects: subject -> how texts name it, in order."""

    key: Key
    role_kind: str
    role_name: str
    subjects: dict[Subject, str]

    def describe(self, subject: str) -> str:
        namespace, name = self.key
        kind, shown = ("RoleBinding", f"{name}/{namespace}") if namespace else ("ClusterRoleBinding", name)
        return f"{kind} {go_quote(shown)} of {self.role_kind} {go_quote(self.role_name)} to {subject}"


class Policy:
    """The RBAC objects of the cluster. listeners are called (without arguments) whenever anything changed."""

    def __init__(self, reader: NotifyingReader) -> None:
        self._reader = reader
        self._lock = asyncio.Lock()
        self._loaded = False
        self._stale: dict[str, set[Key]] = {plural: set() for plural in _PLURALS}
        self._any_stale = True
        self._roles: dict[Key, tuple[Rule, ...]] = {}  # cluster roles have the namespace ""
        self._bindings: dict[Key, Binding] = {}
        self._by_subject: dict[str, dict[Subject, dict[Key, Binding]]] = {}  # by namespace, "" for cluster bindings
        self.listeners: list[Callable[[], None]] = []
        for plural in _PLURALS:
            reader.on_change(GROUP, plural, self._marker(plural))

    def _marker(self, plural: str) -> Callable[[str | None, str], None]:
        stale = self._stale[plural]

        def mark(namespace: str | None, name: str) -> None:
            stale.add((namespace or "", name))
            self._any_stale = True

        return mark

    @property
    def current(self) -> bool:
        """Whether questions can be answered without refresh()."""
        return not self._any_stale and not self._lock.locked()

    async def refresh(self) -> None:
        """Take in what changed."""
        async with self._lock:
            if not self._any_stale:
                return
            self._any_stale = False
            try:
                if self._loaded:
                    await self._reread()
                else:
                    await self._load()
                    self._loaded = True
            except BaseException:
                self._any_stale = True
                raise
            for listener in self.listeners:
                listener()

    async def _load(self) -> None:
        for plural in _PLURALS:
            self._stale[plural].clear()
            for obj in await self._reader.list(GROUP, plural):
                meta = obj["metadata"]
                self._put(plural, (meta.get("namespace") or "", meta["name"]), obj)

    async def _reread(self) -> None:
        for plural, stale in self._stale.items():
            while stale:
                key = stale.pop()
                try:
                    obj = await self._reader.get(GROUP, plural, key[0] or None, key[1])
                except BaseException:
                    stale.add(key)
                    raise
                self._put(plural, key, obj)

    def _put(self, plural: str, key: Key, obj: Obj | None) -> None:
        if plural.endswith("roles"):
            if obj is None:
                self._roles.pop(key, None)
            else:
                self._roles[key] = compile_rules(obj.get("rules"))
            return
        index = self._by_subject.setdefault(key[0], {})
        old = self._bindings.pop(key, None)
        for subject in old.subjects if old else ():
            bindings = index[subject]
            del bindings[key]
            if not bindings:
                del index[subject]
        if obj is not None:
            ref = obj.get("roleRef") or {}
            binding = Binding(key, ref.get("kind") or "", ref.get("name") or "", _subjects(obj, key[0]))
            self._bindings[key] = binding
            for subject in binding.subjects:
                index.setdefault(subject, {})[key] = binding
        if not index:
            del self._by_subject[key[0]]

    # -- questions, once current

    def bindings_for(self, user: User, namespace: str) -> Iterator[tuple[Binding, str]]:
        """The bindings that apply to a user, cluster-wide ones first, by name, each with the first subject that applies."""
        wanted: list[Subject] = [(False, user.name), *((True, group) for group in user.groups)]
        for scope in ("", namespace) if namespace else ("",):
            index = self._by_subject.get(scope)
            if not index:
                continue
            found: dict[Key, Binding] = {}
            for subject in wanted:
                found.update(index.get(subject, ()))
            for key in sorted(found):
                binding = found[key]
                yield binding, next(text for s, text in binding.subjects.items() if s in wanted)

    def role_rules(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...] | str:
        """The rules a role reference stands for, or why there are none."""
        if kind == "ClusterRole":
            rules = self._roles.get(("", name))
            return rules if rules is not None else f"clusterrole.{GROUP} {go_quote(name)} not found"
        if kind == "Role":
            rules = self._roles.get((namespace, name)) if namespace else None
            return rules if rules is not None else f"role.{GROUP} {go_quote(name)} not found"
        return f"unsupported role reference kind: {go_quote(kind)}"

    def rules_for(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """Everything a user may do in a namespace ("": cluster-wide), and what could not be found out."""
        rules: list[Rule] = []
        problems: list[str] = []
        for binding, _ in self.bindings_for(user, namespace):
            found = self.role_rules(binding.role_kind, binding.role_name, binding.key[0])
            if isinstance(found, str):
                problems.append(found)
            else:
                rules.extend(found)
        return rules, problems


def _subjects(obj: Obj, namespace: str) -> dict[Subject, str]:
    subjects: dict[Subject, str] = {}
    for subject in obj.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name") or ""
        if kind == "User":
            subjects.setdefault((False, name), f"User {go_quote(name)}")
        elif kind == "Group":
            subjects.setdefault((True, name), f"Group {go_quote(name)}")
        elif kind == "ServiceAccount":
            home = subject.get("namespace") or namespace
            if home:
                text = f"ServiceAccount {go_quote(f'{name}/{home}')}"
                subjects.setdefault((False, f"system:serviceaccount:{home}:{name}"), text)
    return subjects


def aggregate(problems: Sequence[str]) -> str:
    """Several error texts as the original's aggregate prints them."""
    unique = list(dict.fromkeys(problems))
    return unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]" if unique else ""
