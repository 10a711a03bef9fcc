"""Label and field selectors of a request, made into what the watch cache asks of an entry.

Equal selectors of a kind give the same function object, so that watchers with the same selector share their events.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from apimachinery import errors, selectors
from apimachinery.field import go_quote
from apimachinery.selectors import FieldSelector, FieldTerm, LabelSelector
from apiserver.handlers.scope import Scope
from apiserver.storage.cacher import Matches
from apiserver.storage.entry import Entry

_NAME, _NAMESPACE = "metadata.name", "metadata.namespace"


@dataclass(frozen=True, slots=True)
class Selection:
    """matches: None for everything. name, namespace: "" unless the selector demands one. trigger: see Cacher.watch()."""

    matches: Matches | None = None
    name: str = ""
    namespace: str = ""
    trigger: tuple[str, str] | None = None


EVERYTHING = Selection()


def select(scope: Scope, label_text: str, field_text: str, path_name: str = "") -> Selection:
    """The selection that the request's parameters make; 400 for what does not parse or is not supported.

    path_name: a name in the path of a legacy watch, which acts as a field selector.
    """
    if not label_text and not field_text and not path_name:
        return EVERYTHING
    labels, fields = parse(scope, label_text, field_text)
    if path_name:
        if fields.empty:
            fields = FieldSelector([FieldTerm(_NAME, True, path_name)])
        elif fields.exact(_NAME) != path_name:
            raise errors.bad_request("fieldSelector metadata.name doesn't match requested name")
    return _compile(labels, fields)


def parse(scope: Scope, label_text: str, field_text: str) -> tuple[LabelSelector, FieldSelector]:
    """Both selectors, fields named as the kind names them; 400 for what does not parse or is not supported."""
    try:
        labels = selectors.parse_labels(label_text)
        fields = selectors.parse_fields(field_text)
    except selectors.SelectorError as error:
        raise errors.bad_request(str(error)) from error
    if not fields.empty:
        fields = fields.transform(lambda name, value: _field_label(scope, name, value))
    return labels, fields


def _field_label(scope: Scope, name: str, value: str) -> tuple[str, str]:
    if name in (_NAME, _NAMESPACE):
        return name, value
    kind = scope.kind
    converted = kind.field_label(name, value, scope.version)
    if converted is not None:
        return converted
    supported = kind.selectable_fields({"metadata": {}})
    if name in supported and not scope.custom:
        return name, value
    if supported or scope.custom:
        raise errors.bad_request(f"field label not supported: {name}")
    raise errors.bad_request(
        f'{go_quote(name)} is not a known field selector: only "metadata.name", "metadata.namespace"'
    )


@lru_cache(4096)
def _compile(labels: LabelSelector, fields: FieldSelector) -> Selection:
    trigger = next(
        ((term.field, term.value) for term in fields.terms if term.equal and not term.field.startswith("metadata.")),
        None,
    )
    return Selection(_matcher(labels, fields), fields.exact(_NAME) or "", fields.exact(_NAMESPACE) or "", trigger)


def _matcher(labels: LabelSelector, fields: FieldSelector) -> Matches | None:
    by_labels = labels.matches
    terms = fields.terms
    if not terms:
        if labels.empty:
            return None
        return lambda entry: by_labels(entry.labels)
    if labels.empty:
        return lambda entry: all(_term(entry, term) for term in terms)
    return lambda entry: by_labels(entry.labels) and all(_term(entry, term) for term in terms)


def _term(entry: Entry, term: FieldTerm) -> bool:
    if term.field == _NAME:
        value = entry.name
    elif term.field == _NAMESPACE:
        value = entry.namespace
    else:
        value = entry.fields.get(term.field, "")
    return (value == term.value) is term.equal
