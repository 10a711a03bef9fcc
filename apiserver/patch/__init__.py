"""The four patch types and the bookkeeping of who owns which field. Pure: no I/O, no clock; objects in, objects out.

    patcher.patch(media_type, current, raw, info, validation)   JSON, merge and strategic merge patches: (object, warnings)
        json_patch, merge_patch, strategic                      one type each: check() the patch, apply() it to a document
    managers.of_kind(kind, version, subresource)                makes a managed.FieldManager
    managed.FieldManager                                        one per kind, version and subresource
        .update(live | None, new, manager=, now=)               new with its managedFields (create, update, the patches above)
        .apply(live | None, patch, manager=, now=, force=)      server-side apply: the object, or ApiError 409
    owners.to_scale, owners.from_scale                          managedFields between an object and its Scale
    typed, fieldset                                             values compared and merged by type; fieldsV1 as sets of paths
    resets                                                      fields that writes to a (sub)resource cannot change

Errors are ApiErrors as the original answers. What a function may change it says; an object passed in is not shared elsewhere.
"""
