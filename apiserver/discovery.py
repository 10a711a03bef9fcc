"""What is served, told in both ways: /api and /apis with their lists, and the aggregated documents of apidiscovery.k8s.io.

Documents are made when first asked for and kept until a kind is added or removed. What other servers answer for is in
`external`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from apimachinery import gvk
from apiserver import discovery_protobuf, negotiate
from apiserver.aggregation import priorities
from apiserver.aggregation.documents import Documents
from apiserver.filters.base import Request
from apiserver.filters.errors import page_not_found, route_not_found
from apiserver.negotiate import Output
from apiserver.registry.kind import Kind, Obj
from serving.reply import Reply

AGGREGATED = "apidiscovery.k8s.io"
_AGGREGATED_KIND = ("APIGroupDiscoveryList", AGGREGATED, "v2")


@dataclass
class Group:
    """One API group as served: its versions, most preferred first, and the kinds of each, in order."""

    name: str
    versions: dict[str, list[Kind]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class External:
    """A group version that another server answers. resources: its APIResources as last seen. current: it can be reached.
    documents: what else it said of itself."""

    group_priority: int
    version_priority: int
    resources: Sequence[Obj]
    current: bool
    documents: Documents = field(default_factory=Documents)


class Discovery:
    """The served groups and the documents that show them."""

    def __init__(self, server_address: Callable[[], str]) -> None:
        self._server_address = server_address
        self.groups: dict[str, Group] = {}
        self.external: dict[tuple[str, str], External] = {}
        self._cache: dict[Any, Any] = {}
        self.changed: list[Callable[[], None]] = []

    # -- what is served

    def add(self, kind: Kind) -> None:
        """Show a kind in all its versions."""
        group = self.groups.setdefault(kind.group, Group(kind.group))
        for version in kind.versions:
            kinds = group.versions.setdefault(version, [])
            kinds[:] = [known for known in kinds if known.plural != kind.plural]
            kinds.append(kind.in_version(version))
        if len(group.versions) > 1:
            group.versions = {version: group.versions[version] for version in sorted(group.versions, key=version_rank)}
        self._forget()

    def remove(self, group_name: str, plural: str) -> None:
        group = self.groups.get(group_name)
        if group is None:
            return
        for version in list(group.versions):
            kinds = group.versions[version]
            kinds[:] = [kind for kind in kinds if kind.plural != plural]
            if not kinds:
                del group.versions[version]
        if not group.versions:
            del self.groups[group_name]
        self._forget()

    def replace_external(self, external: dict[tuple[str, str], External]) -> None:
        """Show these group versions of other servers, and no others."""
        if external != self.external:
            self.external = external
            self._forget()

    def _names(self, *, by_service: bool = False) -> list[str]:
        """All named groups, in the order of their priorities; of equal ones, by name, or by their APIServices' names."""
        ranks = {name: priorities.of_group(name) for name in self.groups if name}
        services = {name: [f"{version}.{name}" for version in self.groups[name].versions] for name in ranks}
        for (group, version), external in self.external.items():
            ranks[group] = max(ranks.get(group, 0), external.group_priority)
            services.setdefault(group, []).append(f"{version}.{group}")
        return sorted(ranks, key=lambda name: (-ranks[name], min(services[name]) if by_service else name))

    def _versions(self, group: str) -> list[str]:
        """All versions of a group, most preferred first."""
        rank: dict[str, int] = {}
        if group in self.groups:
            known = priorities.GROUPS.get(group, (0, {}))[1]
            rank = {version: known.get(version, priorities.CUSTOM_VERSION) for version in self.groups[group].versions}
        for (owner, version), external in self.external.items():
            if owner == group:
                rank[version] = external.version_priority
        return sorted(rank, key=lambda version: (-rank[version], version_rank(version)))

    def _forget(self) -> None:
        self._cache.clear()
        for callback in self.changed:
            callback()

    # -- handlers

    async def api(self, request: Request) -> Reply:
        """/api: the legacy group's versions, or the aggregated document."""
        negotiate.check_route(request)
        form = negotiate.converted(request, _AGGREGATED_KIND)
        if form is not None:
            return self._aggregated(request, form, legacy=True)
        document = {
            "kind": "APIVersions",
            "versions": list(self.groups[""].versions) if "" in self.groups else [],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._server_address()}],
        }
        return self._reply(request, document)

    async def apis(self, request: Request) -> Reply:
        """/apis: the list of groups, or the aggregated document."""
        form = negotiate.converted(request, _AGGREGATED_KIND)
        if form is not None:
            return self._aggregated(request, form, legacy=False)
        groups = [_group_document(name, self._versions(name)) for name in self._names(by_service=True)]
        return self._reply(request, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})

    async def group(self, request: Request) -> Reply:
        """/apis/<group> and /apis/<group>/<version>, /api/<version>."""
        parts = request.info.path.strip("/").split("/")
        name, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2] if len(parts) > 2 else "")
        if not version and name and (versions := self._versions(name)):
            return self._reply(request, {"kind": "APIGroup", "apiVersion": "v1", **_group_document(name, versions)})
        negotiate.check_route(request)
        group = self.groups.get(name)
        if group is None:
            raise route_not_found() if not name else page_not_found()
        if version not in group.versions:
            raise route_not_found()
        key = (name, version)
        document = self._cache.get(key)
        if document is None:
            document = self._cache[key] = resource_list(group, version)
        return self._reply(request, document)

    def group_paths(self) -> Iterable[str]:
        """The paths of all groups and versions."""
        yield from dict.fromkeys(f"/apis/{group}" for group, _ in self.external if group not in self.groups)
        yield from (f"/apis/{group}/{version}" for group, version in self.external)
        for group in self.groups.values():
            if group.name:
                yield f"/apis/{group.name}"
            for version in group.versions:
                yield f"/apis/{group.name}/{version}" if group.name else f"/api/{version}"

    def _reply(self, request: Request, document: Obj) -> Reply:
        form = negotiate.output(request, transforms=False)
        return Reply(200, negotiate.render(document, form), form.media_type)

    # -- aggregated

    def _aggregated(self, request: Request, form: Output, *, legacy: bool) -> Reply:
        document, etag = self._aggregated_document(legacy)
        headers = [("Etag", etag), ("Vary", "Accept"), ("Cache-Control", "public")]
        if request.headers.get("If-None-Match", "") == etag:
            return Reply(304, b"", "", headers)
        key = ("aggregated", form, legacy)
        body: bytes | None = self._cache.get(key)
        if body is None:
            protobuf = form.media_type == negotiate.PROTOBUF
            body = discovery_protobuf.write(document) if protobuf else negotiate.render(document, form)
            self._cache[key] = body
        kind, group, version = _AGGREGATED_KIND
        return Reply(200, body, f"{form.media_type};g={group};v={version};as={kind}", headers)

    def _aggregated_document(self, legacy: bool) -> tuple[Obj, str]:
        made: tuple[Obj, str] | None = self._cache.get(("aggregated", legacy))
        if made is None:
            names = ([""] if "" in self.groups else []) if legacy else self._names()
            kind, group, version = _AGGREGATED_KIND
            document = {
                "kind": kind,
                "apiVersion": f"{group}/{version}",
                "metadata": {},
                "items": [self._discovery_group(name) for name in names],
            }
            etag = f'"{hashlib.sha512(orjson.dumps(document)).hexdigest().upper()}"'
            made = self._cache["aggregated", legacy] = (document, etag)
        return made

    def _discovery_group(self, name: str) -> Obj:
        versions = []
        for version in self._versions(name):
            external = self.external.get((name, version))
            if external is not None:
                entry = external.documents.discovery
                if entry is None:
                    resources = _foreign_resources(external.resources, name, version)
                    entry = {"version": version, **({"resources": resources} if resources else {})}
                versions.append({**entry, "freshness": "Current" if external.current else "Stale"})
                continue
            kinds = sorted(self.groups[name].versions[version], key=lambda kind: kind.plural)
            resources = [_discovery_resource(kind, version) for kind in kinds]
            versions.append({"version": version, "resources": resources, "freshness": "Current"})
        return {"metadata": {"name": name} if name else {}, "versions": versions}


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Kubernetes' order of versions, best first: v2, v1, v1beta2, v1beta1, v1alpha1, then others by name."""
    match = re.fullmatch(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?", version)
    if match is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), "")


_ADMISSION = "admissionregistration.k8s.io"
# Kinds that the original stores in another version than it serves.
_STORED_ELSEWHERE = {
    ("events.k8s.io", "Event"): "/v1/Event",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "apiextensions.k8s.io/v1beta1/CustomResourceDefinition",
    (_ADMISSION, "MutatingAdmissionPolicy"): f"{_ADMISSION}/v1beta1/MutatingAdmissionPolicy",
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): f"{_ADMISSION}/v1beta1/MutatingAdmissionPolicyBinding",
}


def storage_version_hash(kind: Kind) -> str:
    """The hash by which clients see that the stored version of a resource changed; "" when that version is not served."""
    if kind.custom and kind.stored_as not in kind.versions:
        return ""
    text = _STORED_ELSEWHERE.get((kind.group, kind.kind)) or f"{kind.group}/{kind.stored_as}/{kind.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _group_document(name: str, names: Sequence[str]) -> Obj:
    versions = [{"groupVersion": gvk.api_version(name, version), "version": version} for version in names]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(group: Group, version: str) -> Obj:
    """APIResourceList of one group version."""
    document: Obj = {"kind": "APIResourceList"}
    if group.name:
        document["apiVersion"] = "v1"
    document["groupVersion"] = gvk.api_version(group.name, version)
    entries = [entry for kind in group.versions[version] for entry in _resources(kind)]
    document["resources"] = sorted(entries, key=lambda entry: entry["name"])
    return document


def _resources(kind: Kind) -> Iterable[Obj]:
    main: Obj = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs) if kind.custom else sorted(kind.verbs),
    }
    if kind.short_names:
        main["shortNames"] = list(kind.short_names)
    if kind.categories:
        main["categories"] = list(kind.categories)
    if kind.stored and "create" in kind.verbs and (stored := storage_version_hash(kind)):
        main["storageVersionHash"] = stored
    yield main
    for sub in kind.subresources:
        entry: Obj = {"name": f"{kind.plural}/{sub.name}", "singularName": "", "namespaced": kind.namespaced}
        if sub.group is not None:
            entry["group"] = sub.group
        if sub.version:
            entry["version"] = sub.version
        entry["kind"] = sub.kind or kind.kind
        entry["verbs"] = sorted(sub.verbs)
        yield entry


def _discovery_resource(kind: Kind, version: str) -> Obj:
    """A resource in the aggregated form. As in the original, built-in kinds do not repeat the group and version they are in."""
    group, named = (kind.group, version) if kind.custom else ("", "")
    resource: Obj = {
        "resource": kind.plural,
        "responseKind": {"group": group, "version": named, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs) if kind.custom else sorted(kind.verbs),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if kind.subresources:
        resource["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": group if sub.group is None else sub.group,
                    "version": sub.version or named,
                    "kind": sub.kind or kind.kind,
                },
                "verbs": sorted(sub.verbs),
            }
            for sub in sorted(kind.subresources, key=lambda sub: sub.name)
        ]
    return resource


def _foreign_resources(resources: Iterable[Obj], group: str, version: str) -> list[Obj]:
    """Another server's APIResources in the aggregated form."""
    found: dict[str, Obj] = {}
    rest: list[Obj] = []
    for entry in resources:
        if "/" in entry.get("name", ""):
            rest.append(entry)
            continue
        found[entry["name"]] = {
            "resource": entry["name"],
            "responseKind": _foreign_kind(entry, group, version),
            "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
            "singularResource": entry.get("singularName") or "",
            "verbs": list(entry.get("verbs") or ()),
            **{key: list(entry[key]) for key in ("shortNames", "categories") if entry.get(key)},
        }
    for entry in rest:
        name, _, sub = entry["name"].partition("/")
        scope = "Namespaced" if entry.get("namespaced") else "Cluster"
        parent = found.setdefault(name, {"resource": name, "responseKind": dict(_NO_KIND), "scope": scope, "verbs": []})
        if parent["scope"] == scope:
            parent.setdefault("subresources", []).append(
                {
                    "subresource": sub,
                    "responseKind": _foreign_kind(entry, group, version),
                    "verbs": list(entry.get("verbs") or ()),
                }
            )
    return list(found.values())


_NO_KIND = {"group": "", "version": "", "kind": ""}


def _foreign_kind(entry: Obj, group: str, version: str) -> Obj:
    return {
        "group": entry.get("group") or group,
        "version": entry.get("version") or version,
        "kind": entry.get("kind") or "",
    }
