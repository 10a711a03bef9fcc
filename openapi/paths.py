"""The operations of a served resource, as the original's API installer names and describes them.

Called by publish.py. Produces OpenAPI v2 path items; publish.py turns them into v3. Texts are our own: the published
definitions, from which all else comes, have no paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
JSON_TYPES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
STREAM_TYPES = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]
PATCH_TYPES = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
]


@dataclass(frozen=True, slots=True)
class Sub:
    """A subresource: its verbs, and the kind and definition of its body where they differ from the parent's."""

    name: str
    verbs: Sequence[str]
    gvk: tuple[str, str, str] | None = None
    definition: str = ""
    connect: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """One resource in one version. definition: its schema's name, "" when nothing is published of it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: Sequence[str]
    definition: str
    list_definition: str
    subresources: Sequence[Sub] = ()
    custom: bool = False
    returns_deleted: bool = False  # a DELETE answers with the object

    @property
    def prefix(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def gvk(self) -> Json:
        return {"group": self.group, "kind": self.kind, "version": self.version}


def group_words(group: str) -> str:
    """The group as it appears in operation ids and tags: "core", "apps", "rbacAuthorization", "stableExampleCom"."""
    parts = group.removesuffix(".k8s.io").split(".") if group else ["core"]
    return parts[0] + "".join(part[:1].upper() + part[1:] for part in parts[1:])


def items(served: Served) -> dict[str, Json]:
    """path -> path item, for all that the resource serves."""
    out: dict[str, Json] = {}
    base, inside = served.prefix, "Namespaced" if served.namespaced else ""
    scope = "/namespaces/{namespace}" if served.namespaced else ""
    collection = f"{base}{scope}/{served.plural}"
    item = collection + "/{name}"
    make = _Maker(served)
    if served.namespaced and "list" in served.verbs:
        operation = make.list(f"list{served.kind}ForAllNamespaces")
        out[f"{base}/{served.plural}"] = {"get": operation, "parameters": make.list_parameters()}
    _put(out, collection, make.collection(inside), make.path_parameters(item=False))
    _put(out, item, make.item(inside), make.path_parameters(item=True))
    for sub in served.subresources:
        _put(out, f"{item}/{sub.name}", make.subresource(inside, sub), make.path_parameters(item=True))
        if sub.connect and sub.name == "proxy":
            place = [*make.path_parameters(item=True)[:-1], make.path("path", "path to the resource")]  # no "pretty"
            _put(out, f"{item}/proxy/{{path}}", make.subresource(inside, sub, "WithPath"), place)
    if "watch" in served.verbs:
        _watches(out, served, make, inside, scope)
    return out


def _put(out: dict[str, Json], path: str, operations: Json, parameters: list[Json]) -> None:
    if operations:
        out[path] = {**operations, "parameters": parameters}


def _watches(out: dict[str, Json], served: Served, make: _Maker, inside: str, scope: str) -> None:
    """The deprecated /watch/ paths."""
    base = f"{served.prefix}/watch"
    lists, place = make.list_parameters(), make.path_parameters(item=False)
    if served.namespaced:
        operation = make.watch(f"watch{served.kind}ListForAllNamespaces", "watchlist")
        out[f"{base}/{served.plural}"] = {"get": operation, "parameters": lists}
    collection = f"{base}{scope}/{served.plural}"
    watched = make.watch(f"watch{inside}{served.kind}List", "watchlist")
    out[collection] = {"get": watched, "parameters": _sorted(*lists, *place[:-1])}
    single = make.watch(f"watch{inside}{served.kind}", "watch")
    out[collection + "/{name}"] = {"get": single, "parameters": _sorted(*lists, *make.path_parameters(item=True)[:-1])}


def _query(name: str, description: str, kind: str = "string") -> Json:
    return {"uniqueItems": True, "type": kind, "description": description, "name": name, "in": "query"}


PRETTY = _query("pretty", "If 'true', the answer is indented for people to read.")
_DRY_RUN = _query("dryRun", "When it is 'All', the request goes through every stage but storage.")
_MANAGER = _query("fieldManager", "Whoever makes the changes, as managedFields shall name it.")
_VALIDATION = _query(
    "fieldValidation", "What to do about unknown and duplicate fields: Ignore, Warn (the default) or Strict."
)
_FORCE = _query("force", "With an apply patch: take over fields that others own.", "boolean")
_DELETE = [
    _DRY_RUN,
    _query("gracePeriodSeconds", "Seconds before the object goes; zero: at once.", "integer"),
    _query("ignoreStoreReadErrorWithClusterBreakingPotential", "Delete an object that cannot be read.", "boolean"),
    _query("orphanDependents", "Deprecated: use propagationPolicy.", "boolean"),
    _query("propagationPolicy", "What becomes of dependents: Orphan, Background or Foreground."),
]
_LIST = [
    _query("allowWatchBookmarks", "Whether watch events of type BOOKMARK are wanted.", "boolean"),
    _query("continue", "The token that the previous page of a list came with."),
    _query("fieldSelector", "Only objects whose fields match."),
    _query("labelSelector", "Only objects whose labels match."),
    _query("limit", "At most so many objects in one answer.", "integer"),
    _query("resourceVersion", "Which versions may be served."),
    _query("resourceVersionMatch", "How resourceVersion is applied to a list."),
    _query("sendInitialEvents", "Begin a watch with the objects that exist.", "boolean"),
    _query("shardSelector", "Only objects whose hashes fall into these ranges; behind a feature gate that is off."),
    _query("timeoutSeconds", "How long a list or watch may take.", "integer"),
    _query("watch", "Watch for changes instead of listing.", "boolean"),
]


def _sorted(*parameters: Json) -> list[Json]:
    return sorted(parameters, key=lambda parameter: str(parameter["name"]))


class _Maker:
    """Operations of one resource."""

    def __init__(self, served: Served) -> None:
        self.served = served
        words = group_words(served.group)
        self.middle = words[:1].upper() + words[1:] + served.version[:1].upper() + served.version[1:]
        self.tag = f"{group_words(served.group)}_{served.version}"
        self.produces = ["application/json", "application/yaml"] if served.custom else JSON_TYPES
        self.patches = [kind for kind in PATCH_TYPES if not (served.custom and "strategic" in kind)]

    # -- parameters

    def path_parameters(self, *, item: bool) -> list[Json]:
        served, out = self.served, []
        if item:
            out.append(self.path("name", f"name of the {served.kind}"))
        if served.namespaced:
            out.append(self.path("namespace", "object name and auth scope, such as for teams and projects"))
        return [*out, PRETTY]

    @staticmethod
    def path(name: str, description: str) -> Json:
        return {
            "uniqueItems": True,
            "type": "string",
            "description": description,
            "name": name,
            "in": "path",
            "required": True,
        }

    @staticmethod
    def list_parameters() -> list[Json]:
        return _sorted(*_LIST, PRETTY)

    @staticmethod
    def _body(definition: str, *, required: bool = True) -> Json:
        schema = {"$ref": f"#/definitions/{definition}"} if definition else {"type": "object"}
        return {"name": "body", "in": "body", **({"required": True} if required else {}), "schema": schema}

    # -- operations

    def operation(self, name: str, action: str, description: str, definition: str, **extra: Any) -> Json:
        """One operation. name: as the installer has it ("createNamespacedPod"); action: x-kubernetes-action."""
        split = next(index for index, char in enumerate(name) if char.isupper())
        gvk = extra.pop("gvk", None) or self.served.gvk
        codes = extra.pop("codes", ("200",))
        words = {"200": "OK", "201": "Created", "202": "Accepted"}
        schema = {"schema": {"$ref": f"#/definitions/{definition}"}} if definition else {}
        responses: Json = {code: {"description": words[code], **schema} for code in codes}
        responses["401"] = {"description": "Unauthorized"}
        out: Json = {
            "description": description,
            "consumes": ["*/*"],
            "produces": self.produces,
            "schemes": ["https"],
            "tags": [self.tag],
            "operationId": name[:split] + self.middle + name[split:],
            **extra,
            "responses": responses,
        }
        if action:
            out["x-kubernetes-action"] = action
        out["x-kubernetes-group-version-kind"] = gvk
        return out

    def list(self, name: str, parameters: Sequence[Json] = ()) -> Json:
        served = self.served
        extra = {"parameters": list(parameters)} if parameters else {}
        operation = self.operation(
            name, "list", f"list or watch objects of kind {served.kind}", served.list_definition, **extra
        )
        operation["produces"] = [*self.produces, *(STREAM_TYPES[:1] if served.custom else STREAM_TYPES)]
        return operation

    def watch(self, name: str, action: str) -> Json:
        text = (
            f"watch changes to {self.served.kind}. deprecated: use the 'watch' parameter with a list operation instead."
        )
        operation = self.operation(name, action, text, f"{META}.WatchEvent")
        operation["produces"] = [*self.produces, *STREAM_TYPES]
        return operation

    def collection(self, inside: str) -> Json:
        served, out = self.served, {}
        if "list" in served.verbs:
            out["get"] = self.list(f"list{inside}{served.kind}", _LIST)
        if "create" in served.verbs:
            out["post"] = self.create(f"create{inside}{served.kind}", f"create a {served.kind}", served.definition)
        if "deletecollection" in served.verbs:
            out["delete"] = self.operation(
                f"deleteCollection{inside}{served.kind}",
                "deletecollection",
                f"delete collection of {served.kind}",
                f"{META}.Status",
                parameters=[
                    self._body(f"{META}.DeleteOptions", required=False),
                    *_sorted(*_DELETE, *_LIST[1:-1]),
                ],
            )
        return out

    def create(self, name: str, text: str, definition: str, **extra: Any) -> Json:
        return self.operation(
            name,
            "post",
            text,
            definition,
            codes=("200", "201", "202"),
            parameters=[self._body(definition), _DRY_RUN, _MANAGER, _VALIDATION],
            **extra,
        )

    def item(self, inside: str) -> Json:
        served = self.served
        out = self._verbs(inside + served.kind, served.verbs, "the specified " + served.kind, served.definition)
        if "delete" in served.verbs:
            out["delete"] = self.operation(
                f"delete{inside}{served.kind}",
                "delete",
                f"delete a {served.kind}",
                served.definition if served.returns_deleted else f"{META}.Status",
                codes=("200", "202"),
                parameters=[self._body(f"{META}.DeleteOptions", required=False), *_DELETE],
            )
        return out

    def _verbs(self, name: str, verbs: Sequence[str], what: str, definition: str, **extra: Any) -> Json:
        out: Json = {}
        if "get" in verbs:
            out["get"] = self.operation(f"read{name}", "get", f"read {what}", definition, **extra)
        if "update" in verbs:
            out["put"] = self.operation(
                f"replace{name}",
                "put",
                f"replace {what}",
                definition,
                codes=("200", "201"),
                parameters=[self._body(definition), _DRY_RUN, _MANAGER, _VALIDATION],
                **extra,
            )
        if "patch" in verbs:
            out["patch"] = self.operation(
                f"patch{name}",
                "patch",
                f"partially update {what}",
                definition,
                codes=("200", "201"),
                parameters=[self._body(f"{META}.Patch"), _DRY_RUN, _MANAGER, _VALIDATION, _FORCE],
                **extra,
            )
            out["patch"]["consumes"] = self.patches
        return out

    def _connect(self, method: str, name: str, what: str, extra: Json) -> Json:
        text = f"connect {method.upper()} requests to {what}"
        out = self.operation(f"connect{method.title()}{name}", "connect", text, "", **extra)
        out["produces"] = ["*/*"]
        out["responses"]["200"]["schema"] = {"type": "string"}
        return out

    def subresource(self, inside: str, sub: Sub, suffix: str = "") -> Json:
        served = self.served
        title = sub.name[:1].upper() + sub.name[1:]
        name, what = f"{inside}{served.kind}{title}", f"{sub.name} of the specified {served.kind}"
        extra: Json = {}
        if sub.gvk is not None:
            group, version, kind = sub.gvk
            extra["gvk"] = {"group": group, "kind": kind, "version": version}
        if sub.connect:
            methods = {"get": "get", "create": "post", "update": "put", "delete": "delete", "patch": "patch"}
            wanted = [method for verb, method in methods.items() if verb in sub.verbs]
            wanted += ["head", "options"] if sub.name == "proxy" else []
            return {
                method: self._connect(method, name + suffix, f"{sub.name} of {served.kind}", extra) for method in wanted
            }
        definition = sub.definition or served.definition
        out = self._verbs(name, sub.verbs, what, definition, **extra)
        if "create" in sub.verbs:
            out["post"] = self.create(f"create{name}", f"create {what}", definition, **extra)
        return out
