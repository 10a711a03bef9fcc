"""What the API server serves, for controllers that deal with any resource: namespace deletion and garbage collection.

Prefers aggregated discovery (two requests in all); a server without it is asked group by group.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from apimachinery.errors import ApiError
from apimachinery.gvk import Resource, split_api_version
from client.api import Client, Unreachable

Obj = dict[str, Any]

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Served:
    """A resource and the verbs it takes."""

    resource: Resource
    verbs: frozenset[str]


@dataclass(slots=True)
class Discovery:
    """served: each resource once, in its preferred version. failures: group/version -> why it could not be read."""

    served: list[Served] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def with_verbs(self, *verbs: str) -> list[Served]:
        wanted = set(verbs)
        return [entry for entry in self.served if wanted <= entry.verbs]

    def error(self) -> str | None:
        """The failures in the original's words (discovery.ErrGroupDiscoveryFailed)."""
        if not self.failures:
            return None
        listed = ", ".join(f"{name}: {text}" for name, text in sorted(self.failures.items()))
        return f"unable to retrieve the complete list of server APIs: {listed}"


async def discover(client: Client) -> Discovery:
    """All that is served. ApiError, Unreachable when even the groups cannot be listed."""
    found = Discovery()
    for root in ("/api", "/apis"):
        answer = await client.raw(root, accept=_AGGREGATED)
        if answer.get("kind") == "APIGroupDiscoveryList":
            _read_aggregated(answer, found)
        elif answer.get("kind") == "APIVersions":
            await _read_legacy(client, "", [(version, f"/api/{version}") for version in answer["versions"]], found)
        else:
            for group in answer.get("groups") or ():
                first = group["preferredVersion"]["version"]
                rest = [entry["version"] for entry in group["versions"] if entry["version"] != first]
                paths = [(version, f"/apis/{group['name']}/{version}") for version in (first, *rest)]
                await _read_legacy(client, group["name"], paths, found)
    return found


async def resources(client: Client) -> list[Resource]:
    """Every resource in every version that it is served in. ApiError, Unreachable."""
    found: list[Resource] = []
    for root in ("/api", "/apis"):
        answer = await client.raw(root, accept=_AGGREGATED)
        if answer.get("kind") == "APIGroupDiscoveryList":
            found += _every_version(answer)
            continue
        groups = answer.get("groups") or [
            {"name": "", "versions": [{"version": v} for v in answer.get("versions") or ()]}
        ]
        for group in groups:
            for entry in group["versions"]:
                path = f"{root}/{group['name']}/{entry['version']}" if group["name"] else f"{root}/{entry['version']}"
                part = Discovery()
                await _read_legacy(client, group["name"], [(entry["version"], path)], part)
                found += [served.resource for served in part.served]
    return found


def _every_version(answer: Obj) -> Iterable[Resource]:
    for item in answer.get("items") or ():
        group = (item.get("metadata") or {}).get("name") or ""
        for version in item.get("versions") or ():
            for entry in version.get("resources") or ():
                kind = (entry.get("responseKind") or {}).get("kind") or ""
                yield Resource(group, version["version"], entry["resource"], kind, entry.get("scope") == "Namespaced")


def _read_aggregated(answer: Obj, found: Discovery) -> None:
    for item in answer.get("items") or ():
        group = (item.get("metadata") or {}).get("name") or ""
        seen: set[str] = set()
        for version in item.get("versions") or ():
            name = version["version"]
            if version.get("freshness") == "Stale":
                found.failures[f"{group}/{name}" if group else name] = "stale GroupVersion discovery: " + group
            for entry in version.get("resources") or ():
                kind = (entry.get("responseKind") or {}).get("kind") or ""
                if entry["resource"] in seen or not entry.get("verbs"):
                    continue
                seen.add(entry["resource"])
                resource = Resource(group, name, entry["resource"], kind, entry.get("scope") == "Namespaced")
                found.served.append(Served(resource, frozenset(entry["verbs"])))


async def _read_legacy(client: Client, group: str, versions: Iterable[tuple[str, str]], found: Discovery) -> None:
    seen: set[str] = set()
    for version, path in versions:
        try:
            answer = await client.raw(path)
        except (ApiError, Unreachable, TimeoutError) as error:
            found.failures[f"{group}/{version}" if group else version] = str(error)
            continue
        for entry in answer.get("resources") or ():
            name = entry["name"]
            if "/" in name or name in seen:
                continue
            seen.add(name)
            own_group, own_version = split_api_version(answer.get("groupVersion") or version)
            resource = Resource(own_group, own_version, name, entry["kind"], bool(entry.get("namespaced")))
            found.served.append(Served(resource, frozenset(entry.get("verbs") or ())))
