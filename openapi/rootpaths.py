"""The operations outside resources: what discovery, the version and the service account issuer answer.

Called by publish.py. As paths.py: OpenAPI v2 path items, under the names that the original gives them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openapi.paths import JSON_TYPES, META, group_words

Json = dict[str, Any]


def _get(name: str, tag: str, text: str, definition: str, types: list[str], *, consumes: bool = True) -> Json:
    schema: Json = {"$ref": f"#/definitions/{definition}"} if definition else {"type": "string"}
    return {
        "get": {
            "description": text,
            **({"consumes": types} if consumes else {}),
            "produces": types,
            "schemes": ["https"],
            "tags": [tag],
            "operationId": name,
            "responses": {"200": {"description": "OK", "schema": schema}, "401": {"description": "Unauthorized"}},
        }
    }


def resources(group: str, version: str) -> Json:
    """The list of a group version's resources."""
    words = group_words(group)
    name = f"get{words[:1].upper()}{words[1:]}{version[:1].upper()}{version[1:]}APIResources"
    return _get(name, f"{words}_{version}", "get available resources", f"{META}.APIResourceList", JSON_TYPES)


def _group(group: str) -> Json:
    words = group_words(group)
    name = f"get{words[:1].upper()}{words[1:]}APIGroup"
    return _get(name, words, "get information of a group", f"{META}.APIGroup", JSON_TYPES)


def documents(groups: Iterable[str]) -> dict[str, Json]:
    """Name of the document -> its only item, whose path is the name between slashes. groups: the built-in ones."""
    versions = "get available API versions"
    info = "io.k8s.apimachinery.pkg.version.Info"
    out = {
        ".well-known/openid-configuration": _get(
            "getServiceAccountIssuerOpenIDConfiguration",
            "WellKnown",
            "get the discovery document of the issuer of service accounts' tokens",
            "",
            ["application/json"],
            consumes=False,
        ),
        "api": _get("getCoreAPIVersions", "core", versions, f"{META}.APIVersions", JSON_TYPES),
        "apis": _get("getAPIVersions", "apis", versions, f"{META}.APIGroupList", JSON_TYPES),
        "openid/v1/jwks": _get(
            "getServiceAccountIssuerOpenIDKeyset",
            "openid",
            "get the public keys by which service accounts' tokens are verified",
            "",
            ["application/jwk-set+json"],
            consumes=False,
        ),
        "version": _get(
            "getCodeVersion", "version", "get the version information for this server", info, ["application/json"]
        ),
    }
    out.update({f"apis/{group}": _group(group) for group in groups if group})
    return out
