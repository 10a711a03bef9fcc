"""Groups, versions, kinds and resources: how the API names its types."""

from __future__ import annotations

from dataclasses import dataclass


def api_version(group: str, version: str) -> str:
    """ "v1" for the core group, "apps/v1" otherwise."""
    return f"{group}/{version}" if group else version


def split_api_version(text: str) -> tuple[str, str]:
    """(group, version) of an apiVersion; the core group is the empty string."""
    group, slash, version = text.rpartition("/")
    return (group, version) if slash else ("", text)


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource as clients address it.

    group: "" for core. plural: the path segment. kind: the type's name. namespaced: whether it lives in namespaces.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        return api_version(self.group, self.version)

    @property
    def group_resource(self) -> str:
        """ "pods" or "deployments.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path (not percent-encoded: names cannot hold characters that need it)."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if namespace and self.namespaced:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        if name:
            parts.append(name)
            if subresource:
                parts.append(subresource)
        return "/".join(parts)
