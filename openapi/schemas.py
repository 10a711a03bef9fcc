"""Types of the API: what fields a kind has, how its lists merge, and how a body becomes an object.

    load() -> Schemas                       process-wide, lazy, milliseconds
    Schemas.type("apps/v1/Deployment")      -> TypeInfo; also definition names ("io.k8s.api.core.v1.Container")
    TypeInfo                                fields, list and map types, merge keys, patch strategies, defaults of list keys
    TypeInfo.decode(obj)                    -> (object as the original would write it again, ["unknown field ..." texts])

Built-in types come from openapi/data (made by openapi.distil); a CRD's are made by openapi.structural. Bytes are turned
into objects by openapi.codec, which calls decode().
"""
