"""The four patch types and the bookkeeping of who owns which field. Pure: no I/O, no clock; objects in, objects out.

json_patch.apply(doc, patch: bytes) -> doc                      RFC 6902 with the original's quirks
merge_patch.apply(doc, patch: bytes) -> doc                     RFC 7386
strategic.apply(doc, patch: bytes, info: TypeInfo) -> doc       strategic merge
    Each raises ApiError as the original answers. `doc` may be changed: pass a fresh one. The result is an undecoded JSON
    value: run it through openapi.codec.decode_patched(info, doc), which raises the 422 (field `patch`) of a wrong type.
managed.FieldManager(types, convert, ...)                       one per (kind, version, subresource)
    .update(live | None, new, manager=, now=) -> new with its managedFields     (create, update, the other patches)
    .apply(live | None, patch, manager=, force=, now=) -> object                (server-side apply; ApiError 409)
fieldset                                                        fieldsV1 as sets of paths
"""
