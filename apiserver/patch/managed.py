"""managedFields: who owns which field of an object, for updates and for server-side apply.

A FieldManager serves one version of a kind, or one of its subresources. Its rules, in the order in which they act, are those
of apimachinery/pkg/util/managedfields: version check, the client-side apply annotation, objects without tracking, the cap on
update managers (owners.py), times, fields never tracked, and structured merge itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from apimachinery import errors, gvk
from apimachinery.errors import ApiError
from apiserver.patch import fieldset, owners, typed
from apiserver.patch.fieldset import Set
from apiserver.patch.owners import Managed, Manager, Owned
from apiserver.patch.typed import Comparison, TypedError
from openapi import explain, schemas
from openapi.explain import DecodeError
from openapi.schemas import TypeInfo
from openapi.structural import CustomType

Obj = dict[str, Any]

BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_ANNOTATIONS_LIMIT = 256 * 1024

_NEVER_TRACKED = fieldset.of_paths(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ),
)
_SELF = Manager("current-operation", "", "", "")


class Conflict(Exception):
    """Fields of other managers that an apply would change."""

    def __init__(self, conflicts: Mapping[Manager, Set]) -> None:
        super().__init__("conflict")
        self.conflicts = conflicts


# -- the manager


class FieldManager:
    """Tracks owners for writes through one version of a kind (api_version, kind), or one subresource of it.

    types(api_version) -> TypeInfo of the kind in that version, None when it is not served.
    convert(obj, api_version) -> the object (of any served version) in that version.
    reset: api_version -> fields that writes here cannot change, so that nobody comes to own them by trying.
    """

    def __init__(
        self,
        api_version: str,
        kind: str,
        *,
        types: Callable[[str], TypeInfo | None],
        convert: Callable[[Obj, str], Obj] | None = None,
        subresource: str = "",
        reset: Mapping[str, Set] | None = None,
    ) -> None:
        self.api_version = api_version
        self.kind = kind
        self.subresource = subresource
        info = types(api_version)
        assert info is not None, f"{api_version} {kind} has no schema"
        self.info = info
        self._blank: Obj = info.blank()  # never changed
        self._types = types
        self._convert = convert
        self._reset = reset or {}

    # -- updates

    def update(self, live: Obj | None, new: Obj, *, manager: str, now: str) -> Obj:
        """`new` (changed in place) with managedFields that say what `manager` changed. live: None for a creation.

        Both in this manager's version, decoded and defaulted. now: a metav1.Time.
        """
        entries = new["metadata"].pop("managedFields", None)
        live_entries = live["metadata"].get("managedFields") if live is not None else None
        if self.subresource:
            managed = owners.decode_or_none(live_entries)
        elif owners.asks_for_reset(entries):
            managed = {}
        else:
            managed = owners.decode_or_none(entries) or owners.decode_or_none(live_entries)
        if not managed and live is not None and live["metadata"].get("uid"):
            return new  # nobody tracks this object
        try:
            if isinstance(self.info, CustomType):
                # Nothing has looked at the types of what it holds yet.
                typed.validate(self.info, new, allow_duplicates=True)
            managed = self._tracked(live if live is not None else self._blank, new, managed, manager, now)
        except TypedError:
            return new
        owners.put(new, managed)
        return new

    def _tracked(self, live: Obj, new: Obj, managed: Managed, manager: str, now: str) -> Managed:
        """The managers after `manager` made new out of live."""
        managed = self._reconciled(live, managed)
        comparison = self._take(live, new, managed, force=True)
        fields = self._filtered(fieldset.union(comparison.modified, comparison.added), self.api_version)
        fields = fieldset.difference(fields, _NEVER_TRACKED)
        if fields:
            name = Manager(manager or "unknown", "Update", self.api_version, self.subresource)
            before = managed.get(name)
            if before is not None:
                fields = fieldset.union(fields, before.fields)
            managed[name] = Owned(fields, self.api_version, False, now)
        return owners.capped(managed)

    def _reconciled(self, live: Obj, managed: Managed) -> Managed:
        """The managers with sets that fit today's schemas; those of unknown versions go."""
        out: Managed = {}
        for manager, owned in managed.items():
            info = self._types(owned.api_version)
            if info is None:
                continue
            fields = typed.reconcile(info, owned.fields)
            out[manager] = (
                owned if fields is owned.fields else Owned(fields, owned.api_version, owned.applied, owned.time)
            )
        return out

    def _in(self, obj: Obj, api_version: str) -> Obj:
        if api_version == obj.get("apiVersion", self.api_version) or self._convert is None:
            return obj
        return self._convert(obj, api_version)

    def _filtered(self, fields: Set, api_version: str) -> Set:
        reset = self._reset.get(api_version)
        return fieldset.recursive_difference(fields, reset) if reset else fields

    def _comparison(self, live: Obj, new: Obj, api_version: str, info: TypeInfo) -> Comparison:
        compared = typed.compare(info, self._in(live, api_version), self._in(new, api_version))
        reset = self._reset.get(api_version)
        if not reset:
            return compared
        return Comparison(*(fieldset.recursive_difference(fields, reset) for fields in compared))

    def _take(self, live: Obj, new: Obj, managed: Managed, *, force: bool, workflow: Manager = _SELF) -> Comparison:
        """Take from other managers (in place) what the change touches; Conflict if that is not allowed."""
        comparisons = {self.api_version: self._comparison(live, new, self.api_version, self.info)}
        conflicts: dict[Manager, Set] = {}
        for manager, owned in list(managed.items()):
            if manager == workflow:
                continue
            compared = comparisons.get(owned.api_version)
            if compared is None:
                info = self._types(owned.api_version)
                if info is None:
                    del managed[manager]
                    continue
                compared = self._comparison(live, new, owned.api_version, info)
                comparisons[owned.api_version] = compared
            touched = fieldset.union(compared.modified, compared.added)
            if touched and (lost := fieldset.intersection(owned.fields, touched)):
                conflicts[manager] = lost
        if conflicts and not force:
            raise Conflict(conflicts)
        for manager, owned in list(managed.items()):
            if manager == workflow:
                continue
            fields = owned.fields
            if manager in conflicts:
                fields = fieldset.difference(fields, conflicts[manager])
            fields = fieldset.difference(fields, comparisons[owned.api_version].removed)
            if fields is not owned.fields:
                managed[manager] = Owned(fields, owned.api_version, owned.applied, owned.time)
        for manager in [manager for manager, owned in managed.items() if not owned.fields]:
            del managed[manager]
        return comparisons[self.api_version]

    # -- apply

    def apply(
        self,
        live: Obj | None,
        patch: Any,
        *,
        manager: str,
        now: str,
        force: bool = False,
        seen: Callable[[Any], None] | None = None,
    ) -> Obj:
        """The object that results from applying `patch`, decoded but not yet defaulted, with its managedFields.

        live: the stored object in this version, None to create. seen: is shown the merged document before it is decoded.
        ApiError: 400 for a patch of another type, 409 with a cause per field for conflicts, a bare 500 for a patch that
        does not fit the schema.
        """
        self._check_type(patch)
        try:
            managed = owners.decode((live or {}).get("metadata", {}).get("managedFields"))
        except ValueError as error:
            raise ApiError(500, "", f"failed to decode managed fields: {error}") from None
        current = live if live is not None else {"apiVersion": self.api_version, "kind": self.kind, **self.info.blank()}
        try:
            if not managed:
                managed = self._before_first_apply(current, now)
            try:
                obj, managed = self._applied(current, patch, dict(managed), manager, now, force=force, seen=seen)
            except Conflict as conflict:
                allowed = self._allowed_by_annotation(current) if manager == "kubectl" else None
                rest = _without(conflict.conflicts, allowed) if allowed is not None else conflict.conflicts
                if rest:
                    raise _conflict_error(rest) from None
                obj, managed = self._applied(current, patch, dict(managed), manager, now, force=True, seen=seen)
        except TypedError as error:
            raise ApiError(500, "", str(error)) from None
        if manager == "kubectl" and (obj["metadata"].get("annotations") or {}).get(LAST_APPLIED):
            _set_last_applied(obj, patch)
        owners.put(obj, managed)
        return obj

    def _check_type(self, patch: Any) -> None:
        found = patch if isinstance(patch, dict) else {}
        version, kind = found.get("apiVersion", ""), found.get("kind", "")
        version, kind = (version if isinstance(version, str) else ""), (kind if isinstance(kind, str) else "")
        if (version, kind) != (self.api_version, self.kind):
            raise errors.bad_request(f"invalid object type: {draw_gvk(version, kind)}")
        metadata = found.get("metadata")
        if isinstance(metadata, dict) and _has_entries(metadata.get("managedFields")):
            raise errors.bad_request("metadata.managedFields must be nil")

    def _before_first_apply(self, live: Obj, now: str) -> Managed:
        """What an untracked object holds belongs to a manager of its own, so that applying it can conflict."""
        return self._tracked(self._blank, _without_managed_fields(live), {}, BEFORE_FIRST_APPLY, now)

    def _applied(
        self,
        live: Obj,
        patch: Obj,
        managed: Managed,
        manager: str,
        now: str,
        *,
        force: bool,
        seen: Callable[[Any], None] | None,
    ) -> tuple[Obj, Managed]:
        try:
            typed.validate(self.info, patch)
        except TypedError as error:
            raise TypedError(f"failed to create typed patch object ({self.place(patch)}): {error}") from None
        name = Manager(manager or "unknown", "Apply", "", self.subresource)
        managed = self._reconciled(live, managed)
        merged = typed.merge(self.info, live, patch)
        last = managed.get(name)
        fields = self._filtered(typed.field_set(self.info, patch), self.api_version)
        managed[name] = Owned(fields, self.api_version, True, last.time if last is not None else None)
        merged = self._pruned(merged, managed, last)
        self._take(live, merged, managed, force=force, workflow=name)
        owned = managed.get(name)
        changed = not _equal(live, merged)
        if changed and seen is not None:
            seen(merged)
        if owned is not None:
            fields = fieldset.difference(owned.fields, _NEVER_TRACKED)
            if fields:
                managed[name] = Owned(fields, owned.api_version, True, now if changed else owned.time)
            else:
                del managed[name]
        try:
            obj = self._restored(merged) if changed else _without_managed_fields(live)
        except DecodeError as error:
            text = f"failed to convert new object ({self.place(patch)}) to proper version"
            raise TypedError(f"{text}: {error}") from None
        return obj, managed

    def _restored(self, merged: Obj) -> Obj:
        try:
            obj: Obj = self.info.restored(merged)
        except DecodeError as error:
            text = f"unable to convert unstructured object to {draw_gvk(self.api_version, self.kind)}"
            raise DecodeError(f"{text}: {error}") from None
        return obj

    def place(self, patch: Obj) -> str:
        """An applied object in texts."""
        return f"{_meta(patch, 'namespace')}/{_meta(patch, 'name')}; {draw_gvk(self.api_version, self.kind)}"

    def _pruned(self, merged: Obj, managed: Managed, last: Owned | None) -> Obj:
        """Without what the manager applied last time but not now, and nobody else owns."""
        if last is None or not last.fields:
            return merged
        info = self._types(last.api_version)
        if info is None:
            return merged
        here = self._in(merged, last.api_version)
        pruned = typed.remove(info, here, fieldset.with_named_fields(last.fields, info))
        pruned = self._with_owned(here, pruned, last.api_version, managed)
        pruned = self._with_dangling(info, here, pruned, last.fields)
        return self._in({**pruned, "apiVersion": last.api_version, "kind": self.kind}, self.api_version)

    def _with_owned(self, merged: Obj, pruned: Obj, version: str, managed: Managed) -> Obj:
        """Give back what other managers, or this one now, own."""
        owned: dict[str, Set] = {}
        for entry in managed.values():
            owned[entry.api_version] = fieldset.union(owned.get(entry.api_version, {}), entry.fields)
        first = [version] if version in owned else []
        for api_version in [*first, *(other for other in owned if other != version)]:
            info = self._types(api_version)
            if info is None:
                continue
            merged = self._in(merged, api_version)
            pruned = self._in(
                {**(pruned or {}), "apiVersion": merged.get("apiVersion"), "kind": self.kind}, api_version
            )
            merged_fields = fieldset.with_named_fields(typed.field_set(info, merged), info)
            keep = fieldset.union(
                fieldset.with_named_fields(typed.field_set(info, pruned), info),
                fieldset.with_named_fields(owned[api_version], info),
            )
            pruned = typed.remove(info, merged, fieldset.difference(merged_fields, keep))
        return self._in(pruned, version)

    @staticmethod
    def _with_dangling(info: TypeInfo, merged: Obj, pruned: Obj, last: Set) -> Obj:
        """Give back what the manager did not apply last time: fields without an owner, or of updaters."""
        pruned_fields = fieldset.with_named_fields(typed.field_set(info, pruned), info)
        merged_fields = fieldset.with_named_fields(typed.field_set(info, merged), info)
        gone = fieldset.difference(merged_fields, pruned_fields)
        result: Obj = typed.remove(info, merged, fieldset.intersection(gone, fieldset.with_named_fields(last, info)))
        return result

    def _allowed_by_annotation(self, live: Obj) -> Set | None:
        """What client-side apply set and nobody changed since: kubectl may take it over without a conflict."""
        text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        if not text:
            return None
        try:
            last = json.loads(text)
            if last.get("apiVersion") != self.api_version:
                return None
            typed.validate(self.info, last)
            compared = typed.compare(self.info, last, live)
            fields = typed.field_set(self.info, last)
        except (ValueError, AttributeError, TypedError):
            return None
        for gone in compared.modified, compared.added, compared.removed:
            fields = fieldset.difference(fields, gone)
        return fields


def _meta(obj: Obj, name: str) -> str:
    metadata = obj.get("metadata")
    value = metadata.get(name) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""


def draw_gvk(api_version: str, kind: str) -> str:
    if api_version.count("/") > 1:
        return "/, Kind="
    group, version = gvk.split_api_version(api_version)
    return f"{group}/{version}, Kind={kind}"


def _has_entries(given: Any) -> bool:
    """Whether an applied object's managedFields can be read: the original takes others for none."""
    if not isinstance(given, list):
        return False
    entry = schemas.load().type("io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry")
    try:
        for item in given:
            explain.decode_unstructured(entry, item)
    except DecodeError:
        return False
    return all(isinstance(item, dict) for item in given)


def _without_managed_fields(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def _equal(live: Obj, merged: Obj) -> bool:
    return live == merged and typed.strictly_same(live, merged)


def _without(conflicts: Mapping[Manager, Set], allowed: Set) -> dict[Manager, Set]:
    rest = {manager: fieldset.difference(fields, allowed) for manager, fields in conflicts.items()}
    return {manager: fields for manager, fields in rest.items() if fields}


def _conflict_error(conflicts: Mapping[Manager, Set]) -> ApiError:
    """409 with a cause per manager and field."""
    found = [
        (manager, fieldset.draw(path, stored=True))
        for manager in sorted(conflicts, key=Manager.identifier)
        for path in fieldset.paths(conflicts[manager])
    ]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager.draw()}", "field": path}
        for manager, path in found
    ]
    if len(found) == 1:
        message = f"Apply failed with 1 conflict: conflict with {found[0][0].draw()}: {found[0][1]}"
    else:
        lines = []
        for manager in dict.fromkeys(manager for manager, _ in found):
            lines.append(f"conflicts with {manager.draw()}:")
            lines.extend(f"- {path}" for other, path in found if other == manager)
        message = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, details={"causes": causes})


def _set_last_applied(obj: Obj, patch: Obj) -> None:
    """Keep the annotation of client-side apply true after kubectl's server-side apply."""
    metadata = dict(patch.get("metadata") or {})
    if metadata.get("annotations") is not None:
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    text = json.dumps({**patch, "metadata": metadata}, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    annotations = {**obj["metadata"].get("annotations", {}), LAST_APPLIED: text}
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        del annotations[LAST_APPLIED]
    obj["metadata"] = {**obj["metadata"], "annotations": annotations}
