"""Versions of a definition as error texts print them: every field of the original's internal types, under its Go name.

Called by definition_rules, whose errors about the set of versions show all of it. Fields that a version leaves out are
printed with Go's zero value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import field

Obj = dict[str, Any]
Draw = Callable[[Any], Any]


def versions(given: list[Obj]) -> list[Obj]:
    """spec.versions, drawn."""
    return [_version(version) for version in given]


def _version(version: Obj) -> Obj:
    found = version.get("schema")
    return {
        "Name": version.get("name", ""),
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": version.get("deprecationWarning"),
        "Schema": None if found is None else {"OpenAPIV3Schema": _maybe(schema)(found.get("openAPIV3Schema"))},
        "Subresources": _maybe(_subresources)(version.get("subresources")),
        "AdditionalPrinterColumns": _each(_column)(version.get("additionalPrinterColumns")),
        "SelectableFields": _each(_selectable)(version.get("selectableFields")),
    }


def _subresources(given: Obj) -> Obj:
    scale = given.get("scale")
    drawn = scale and {
        "SpecReplicasPath": scale.get("specReplicasPath", ""),
        "StatusReplicasPath": scale.get("statusReplicasPath", ""),
        "LabelSelectorPath": scale.get("labelSelectorPath"),
    }
    return {"Status": given.get("status"), "Scale": drawn}


def _column(column: Obj) -> Obj:
    texts = {name.capitalize(): column.get(name, "") for name in ("name", "type", "format", "description")}
    return {**texts, "Priority": column.get("priority", 0), "JSONPath": column.get("jsonPath", "")}


def _selectable(selectable: Obj) -> Obj:
    return {"JSONPath": selectable.get("jsonPath", "")}


def _maybe(draw: Draw) -> Draw:
    return lambda value: None if value is None else draw(value)


def _each(draw: Draw) -> Draw:
    return lambda values: None if values is None else [draw(value) for value in values]


def _named(draw: Draw) -> Draw:
    """A map, in the order in which Go prints one."""
    return lambda values: None if values is None else {name: draw(values[name]) for name in sorted(values)}


def _same(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    return value or ""


def schema_or_schemas(value: Any) -> Obj:
    if isinstance(value, list):
        return {"Schema": None, "JSONSchemas": [schema(item) for item in value]}
    return {"Schema": schema(value), "JSONSchemas": None}


def _schema_or_bool(value: Any) -> Obj:
    if isinstance(value, bool):
        return {"Allows": value, "Schema": None}
    return {"Allows": True, "Schema": schema(value)}


def _schema_or_names(value: Any) -> Obj:
    if isinstance(value, list):
        return {"Schema": None, "Property": value}
    return {"Schema": schema(value), "Property": None}


def _documentation(value: Obj) -> Obj:
    return {"Description": value.get("description", ""), "URL": value.get("url", "")}


def _rule(rule: Obj) -> Obj:
    texts = {name[0].upper() + name[1:]: rule.get(name, "") for name in ("rule", "message", "messageExpression")}
    return {
        **texts,
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }


def schema(given: Obj) -> Obj:
    """A schema, drawn."""
    return {go: draw(given.get(name)) for go, (name, draw) in _FIELDS.items()}


# JSONSchemaProps in the order of its fields: Go name -> (name in JSON, how it is printed).
_FIELDS: dict[str, tuple[str, Draw]] = {
    "ID": ("id", _text),
    "Schema": ("$schema", _text),
    "Ref": ("$ref", _same),
    "Description": ("description", _text),
    "Type": ("type", _text),
    "Nullable": ("nullable", bool),
    "Format": ("format", _text),
    "Title": ("title", _text),
    "Default": ("default", field.as_map),
    "Maximum": ("maximum", _same),
    "ExclusiveMaximum": ("exclusiveMaximum", bool),
    "Minimum": ("minimum", _same),
    "ExclusiveMinimum": ("exclusiveMinimum", bool),
    "MaxLength": ("maxLength", _same),
    "MinLength": ("minLength", _same),
    "Pattern": ("pattern", _text),
    "MaxItems": ("maxItems", _same),
    "MinItems": ("minItems", _same),
    "UniqueItems": ("uniqueItems", bool),
    "MultipleOf": ("multipleOf", _same),
    "Enum": ("enum", field.as_map),
    "MaxProperties": ("maxProperties", _same),
    "MinProperties": ("minProperties", _same),
    "Required": ("required", _same),
    "Items": ("items", _maybe(schema_or_schemas)),
    "AllOf": ("allOf", _each(schema)),
    "OneOf": ("oneOf", _each(schema)),
    "AnyOf": ("anyOf", _each(schema)),
    "Not": ("not", _maybe(schema)),
    "Properties": ("properties", _named(schema)),
    "AdditionalProperties": ("additionalProperties", _maybe(_schema_or_bool)),
    "PatternProperties": ("patternProperties", _named(schema)),
    "Dependencies": ("dependencies", _named(_schema_or_names)),
    "AdditionalItems": ("additionalItems", _maybe(_schema_or_bool)),
    "Definitions": ("definitions", _named(schema)),
    "ExternalDocs": ("externalDocs", _maybe(_documentation)),
    "Example": ("example", field.as_map),
    "XPreserveUnknownFields": ("x-kubernetes-preserve-unknown-fields", _same),
    "XEmbeddedResource": ("x-kubernetes-embedded-resource", bool),
    "XIntOrString": ("x-kubernetes-int-or-string", bool),
    "XListMapKeys": ("x-kubernetes-list-map-keys", _same),
    "XListType": ("x-kubernetes-list-type", _same),
    "XMapType": ("x-kubernetes-map-type", _same),
    "XValidations": ("x-kubernetes-validations", _each(_rule)),
}
SCHEMA_FIELDS = tuple(name for name, _ in _FIELDS.values())
