"""A custom resource as a Kind: made at run time out of its CustomResourceDefinition.

Decoding, pruning and defaults follow openapi.structural; values are checked against the schema, list sets and maps for
repetitions, embedded resources for their metadata, and last against their CEL rules (crd_rules). Conversion between versions
changes nothing but apiVersion and what the other version's schema does not know (strategy None), or is a webhook's work
(registry/conversion.py, registry/converted.py).

Each version of the kind has a Kind of its own (in_version), whose store works in that version: its subresources, columns and
rules may differ. The one made of the definition is that of the storage version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from apimachinery import errors, field, times
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells as cell_words
from apiserver.registry import crd_paths, crd_scale
from apiserver.registry.conversion import Converter
from apiserver.registry.crd_rules import RuleTree
from apiserver.registry.kind import NAME_COLUMN, SCALE, STATUS, Column, Ctx, Kind, Obj, Scale
from apiserver.validation import embedded, names, repetitions
from openapi import structural, validate
from openapi.correlation import Correlation
from openapi.schemas import TypeInfo
from openapi.structural import CustomType, Structural
from openapi.validate import Validator

if TYPE_CHECKING:
    from apiserver.admission.webhooks.caller import Caller

VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid;"
    " correct the existing errors to complete validation"
)


class Version:
    """What differs between the versions of a custom resource."""

    def __init__(self, spec: Obj, kind: str) -> None:
        self.name: str = spec["name"]
        self.raw: Obj = (spec.get("schema") or {}).get("openAPIV3Schema") or {}
        self.schema = Structural(self.raw)
        self.type = CustomType(self.schema, kind)
        self.validator = Validator(self.raw)
        self.status: Obj = (self.raw.get("properties") or {}).get("status") or {}
        self.status_validator = Validator(self.status)
        self.has_rules = _mentions(self.raw, "x-kubernetes-validations")
        self._rules: RuleTree | None = None
        self.has_defaults = _mentions(self.raw, "default")
        self.columns: Sequence[Obj] = spec.get("additionalPrinterColumns") or ()
        self.selectable: Sequence[str] = tuple(one["jsonPath"] for one in spec.get("selectableFields") or ())
        self.subresources: Obj = spec.get("subresources") or {}
        self.deprecated: bool = bool(spec.get("deprecated"))
        self.deprecation: str | None = spec.get("deprecationWarning")

    def rules(self) -> RuleTree | None:
        """The compiled CEL rules; made when the first instance is written."""
        if self.has_rules and self._rules is None:
            self._rules = RuleTree.of(self.raw)
            self.has_rules = self._rules is not None
        return self._rules


def _mentions(schema: Any, word: str) -> bool:
    if isinstance(schema, dict):
        return word in schema or any(_mentions(child, word) for child in schema.values())
    return isinstance(schema, list) and any(_mentions(child, word) for child in schema)


class CustomKind(Kind):
    """One CustomResourceDefinition's kind. definition: the object it was made from. working: the version that its store
    works in, the storage version if empty. origin: the kind of the storage version, when this is another."""

    custom = True
    core_metadata = False
    has_generation = True
    unconditional_update = False
    verbs = VERBS

    def __init__(self, definition: Obj, working: str = "", origin: CustomKind | None = None) -> None:
        spec, accepted = definition["spec"], definition["status"]["acceptedNames"]
        self.definition = definition
        self.group = spec["group"]
        self.kind = accepted["kind"]
        self.plural = accepted["plural"]
        self.singular = accepted.get("singular", "")
        self.list_kind = accepted.get("listKind", "")
        self.short_names = tuple(accepted.get("shortNames") or ())
        self.categories = tuple(accepted.get("categories") or ())
        self.namespaced = spec["scope"] == "Namespaced"
        every: dict[str, Version] = (
            origin.by_version if origin else {each["name"]: Version(each, self.kind) for each in spec["versions"]}
        )
        self._stored_as: str = next(version["name"] for version in spec["versions"] if version.get("storage"))
        self.storage_version = working or self._stored_as
        self.versions = origin.versions if origin else _served(spec)
        self.by_version: dict[str, Version] = every
        self._origin = origin
        self._terminating = False
        self._converter: Converter | None = None
        self._views: dict[str, CustomKind] = {}
        self._selected: tuple[str, ...] = (
            origin._selected
            if origin
            else tuple(dict.fromkeys(path for version in every.values() for path in version.selectable))
        )
        stored = every[self.storage_version]
        self.subresources = ()
        self.status_fields = ()
        if "status" in stored.subresources:
            self.subresources = (STATUS,)
            self.status_fields = ("status",)
        if stored.subresources.get("scale") is not None:
            self.subresources = (*self.subresources, SCALE)
            self.scale = _scale(stored.subresources["scale"])
        self.columns = _columns(stored)
        super().__init__()

    # -- versions

    def type_info(self, version: str) -> TypeInfo:
        return self.by_version[version].type

    def deprecation(self, version: str) -> str:
        found = self.by_version[version]
        if not found.deprecated:
            return ""
        if found.deprecation is not None:
            return found.deprecation
        text = f"{self.api_version(version)} {self.kind} is deprecated"
        better = [
            name for name in self.versions if not self.by_version[name].deprecated and _rank(name) < _rank(version)
        ]
        return f"{text}; use {self.api_version(better[0])} {self.kind}" if better else text

    @property
    def stored_as(self) -> str:
        return self._stored_as

    @property
    def known_versions(self) -> Sequence[str]:
        return tuple(self.by_version)

    @property
    def terminating(self) -> bool:
        """Whether the definition is being deleted: there are no new instances then."""
        return self._origin.terminating if self._origin is not None else self._terminating

    def terminate(self) -> None:
        self._terminating = True

    def in_version(self, version: str) -> CustomKind:
        if self._origin is not None:
            return self._origin.in_version(version)
        if version == self.storage_version:
            return self
        view = self._views.get(version)
        if view is None:
            view = self._views[version] = type(self)(self.definition, version, self)
        return view

    def use(self, caller: Caller) -> None:
        """Have the definition's conversion webhook, if it has one, called so."""
        if (self.definition["spec"].get("conversion") or {}).get("strategy") == "Webhook":
            schemas = {name: version.schema for name, version in self.by_version.items()}
            self._converter = Converter(self.definition, self.kind, schemas, caller)

    @property
    def converter(self) -> Converter | None:
        return self._origin.converter if self._origin is not None else self._converter

    @property
    def converts_by_webhook(self) -> bool:
        return self.converter is not None

    def convert(self, obj: Obj, source: str, target: str) -> Obj:
        """By the webhook only inside of conversion.running(), which may begin anew."""
        if self.converter is not None:
            return self.converter.now(obj, source, target)
        return super().convert(obj, source, target)

    async def ask(self, objects: Sequence[Obj], version: str) -> list[Obj]:
        """Objects (with their apiVersion) in another version, by the webhook. ApiError 500."""
        assert self.converter is not None
        return await self.converter.convert(objects, version)

    def typed(self, version: str) -> Obj:
        """What an object of that version begins with."""
        return {"kind": self.kind, "apiVersion": self.api_version(version)}

    def repair(self, obj: Obj, version: str) -> None:
        """Bring an object, stored in that version, in line with the version's schema: unknown fields go, defaults come."""
        found = self.by_version.get(version)
        if found is not None:
            structural.prune(obj, found.schema, root=True)
            self.default(obj, version)
            structural.prune_nulls(obj, found.schema)

    def published_schema(self, version: str) -> dict[str, Any] | None:
        schema = dict(self.by_version[version].raw)
        properties = dict(schema.get("properties") or {})
        from openapi import publish

        for name in ("apiVersion", "kind"):
            text = publish.description(f"{META}.DeleteOptions", name)
            properties[name] = {"description": text, "type": "string"}
        metadata = {"allOf": [{"$ref": f"#/components/schemas/{META}.ObjectMeta"}]}
        properties["metadata"] = {"description": "Standard object's metadata.", **metadata}
        schema["properties"] = properties
        schema["x-kubernetes-group-version-kind"] = [{"group": self.group, "kind": self.kind, "version": version}]
        return schema

    def initial_status(self) -> Obj:
        return {}

    # -- writes

    def default(self, obj: Obj, version: str) -> None:
        schema = self.by_version[version].schema
        structural.default(obj, schema)

    def canonicalize(self, obj: Obj) -> None:
        structural.prune_nulls(obj, self.by_version[self.storage_version].schema)

    def prepare_update(self, ctx: Ctx, obj: Obj, old: Obj) -> None:
        if ctx.subresource == "status":
            metadata = dict(old["metadata"])
            for name in ("managedFields", "resourceVersion"):
                if name in obj["metadata"]:
                    metadata[name] = obj["metadata"][name]
                else:
                    metadata.pop(name, None)
            obj["metadata"] = metadata

    async def begin_create(self, ctx: Ctx, obj: Obj) -> None:
        if self.terminating:
            text = "create not allowed while custom resource definition is terminating"
            raise errors.forbidden(self.group, self.plural, obj["metadata"].get("name") or "", text)

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        version = self.by_version[ctx.version]
        found = version.validator.check(obj)
        if self.scale is not None:
            found += crd_scale.check_spec(obj, self.scale) or crd_scale.check_written(obj, self.scale, ctx)
            found += crd_scale.check_status(obj, self.scale)
        found += embedded.validate(obj, version.schema, "")
        found += repetitions.validate(obj, version.schema, "")
        return found + self._check_rules(ctx, obj, None, found, None, unnamed=not obj["metadata"].get("name"))

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        """What was wrong before and did not change may stay (ratcheting)."""
        version = self.by_version[ctx.version]
        correlation = Correlation(obj, old, version.raw)
        in_status = ctx.subresource == "status"
        if in_status:
            found = self._check_status(version, obj, old, correlation)
        else:
            found = version.validator.check(obj, correlation=correlation)
        if self.scale is not None:
            if not in_status:
                found += crd_scale.check_spec(obj, self.scale) or crd_scale.check_written(obj, self.scale, ctx)
            found += crd_scale.check_status(obj, self.scale)
        if not in_status:
            found += embedded.validate(obj, version.schema, "")
        repeated = repetitions.validate(obj, version.schema, "")
        if repeated and not repetitions.validate(old, version.schema, ""):
            found += repeated
        return found + self._check_rules(ctx, obj, old, found, correlation)

    def _check_status(self, version: Version, obj: Obj, old: Obj, correlation: Correlation) -> list[FieldError]:
        """By the status' own part of the schema, which knows nothing of what is around it."""
        if "status" not in obj:
            return []
        part = correlation.key("status")
        if part is None:
            part = Correlation(obj["status"], old.get("status"), version.status)
        return version.status_validator.check(obj["status"], "status", correlation=part)

    def _check_rules(
        self,
        ctx: Ctx,
        obj: Obj,
        old: Obj | None,
        found: list[FieldError],
        correlation: Correlation | None,
        *,
        unnamed: bool = False,
    ) -> list[FieldError]:
        """The rules' errors; they are not run on data whose form is wrong."""
        rules = self.by_version[ctx.version].rules()
        if rules is None:
            return []
        if unnamed or any(error.reason in validate.BLOCKING for error in found):
            return [field.invalid("<nil>", None, _NOT_CHECKED)]
        errors_, warnings = rules.check(obj, old, correlation=correlation)
        ctx.warnings.extend(warnings)
        return errors_

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        """Names of finalizers that others may use too."""
        if ctx.subresource or "finalizers" not in obj["metadata"]:
            return []
        before = (old or {}).get("metadata", {}).get("finalizers") or ()
        return [
            text
            for finalizer in sorted(set(obj["metadata"]["finalizers"]) - set(before))
            for text in _finalizer_warnings(finalizer)
        ]

    # -- reads

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        """Of all versions, because all of them share what is known of an object; field_label() knows which is whose."""
        return {path.removeprefix("."): _text(crd_paths.find(path, obj)) for path in self._selected}

    def field_label(self, label: str, value: str, version: str) -> tuple[str, str] | None:
        return (label, value) if f".{label}" in self.by_version[version].selectable else None

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        out: list[Any] = [obj["metadata"].get("name", "")]
        columns = self.by_version[self.storage_version].columns
        if not columns:
            return [*out, cell_words.age(obj, clock)]
        for column in columns:
            try:
                found = crd_paths.find(column["jsonPath"], obj)
            except crd_paths.PathError:
                found = []
            out.append(_cell(column["type"], found[0], clock) if found else None)
        return out


class RepairingKind(CustomKind):
    """A custom kind whose stored objects may lack defaults, or hold fields that a schema of it does not have."""

    def on_read(self, obj: Obj, version: str) -> None:
        self.repair(obj, version or self.stored_as)
        if version != self.storage_version:
            structural.prune(obj, self.by_version[self.storage_version].schema, root=True)

    def on_write(self, obj: Obj) -> None:
        if self.stored_as != self.storage_version and not self.converts_by_webhook:
            structural.prune(obj, self.by_version[self.stored_as].schema, root=True)


def make(definition: Obj) -> CustomKind:
    """The kind of an accepted definition."""
    generation = definition["metadata"].get("generation", 1)
    made = CustomKind(definition)
    versions = list(made.by_version.values())
    alike = all(version.raw == versions[0].raw for version in versions)
    if generation > 1 or not alike or any(version.has_defaults for version in versions):
        return RepairingKind(definition)
    return made


def _served(spec: Obj) -> tuple[str, ...]:
    """Best first."""
    return tuple(sorted((version["name"] for version in spec["versions"] if version.get("served")), key=_rank))


def _rank(version: str) -> tuple[int, int, int, str]:
    from apiserver.discovery import version_rank

    return version_rank(version)


def _scale(found: Obj) -> Scale:
    return Scale("v1", found["specReplicasPath"], found["statusReplicasPath"], found.get("labelSelectorPath") or "")


def _columns(version: Version) -> tuple[Column, ...]:
    if not version.columns:
        return (NAME_COLUMN, Column("Age", type="date", doc="metadata.creationTimestamp"))
    return (
        NAME_COLUMN,
        *(
            Column(
                column["name"],
                column["type"],
                column.get("format", ""),
                column.get("description")
                or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}",
                column.get("priority", 0),
            )
            for column in version.columns
        ),
    )


def _text(found: list[Any]) -> str:
    if not found or found[0] is None:
        return ""
    value = found[0]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _cell(kind: str, value: Any, clock: Clock) -> Any:
    """A table cell of that column type; None for a value that does not fit."""
    if kind == "string":
        return _string_cell(value)
    if value is None:
        return None
    if kind == "integer" and isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "date" and isinstance(value, str):
        try:
            seconds = times.parse_time(value)
        except ValueError:
            return "<invalid>"
        return times.human_duration(clock.time() - seconds)
    return None


def _string_cell(value: Any) -> str:
    if value is None:
        return "<no value>"
    if isinstance(value, dict | list):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")


def _finalizer_warnings(name: str) -> list[str]:
    shown = f"metadata.finalizers: {field.go_quote(name)}"
    found = [f"{shown}: {problem}" for problem in names.qualified_name(name)]
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        path = " including a path (/)" if "." in name else ""
        found.append(
            f"{shown}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        )
    return found


def is_terminating(definition: Obj) -> bool:
    return bool(definition["metadata"].get("deletionTimestamp"))


__all__ = ["CustomKind", "RepairingKind", "is_terminating", "make"]
