"""Conversion of custom resources between their versions by a webhook (apiextensions.k8s.io/v1 ConversionReview).

A Converter belongs to one state of one CustomResourceDefinition. It asks the webhook, holds its answer to the rules
(same kind, name, namespace and uid; only labels and annotations may change in metadata), and prunes what comes back
by the schema of the version it is in. Errors are 500s in the original's words.

Code that cannot wait (managedFields compare an object in several versions) calls now() inside of running(): what
has not been asked yet ends the attempt, is asked, and the attempt is made again.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from apimachinery import gvk
from apimachinery.field import FieldError, go_quote
from apiserver.admission.webhooks.caller import Caller, CallFailed
from apiserver.registry import metadata
from apiserver.registry.kind import Kind, Obj
from apiserver.validation import labels as label_rules
from apiserver.validation import meta as meta_rules
from openapi import structural

if TYPE_CHECKING:
    from openapi.structural import Structural

T = TypeVar("T")

SECONDS = 30  # that a webhook has for an answer
_BATCH = 500  # objects in one review
_BATCH_BYTES = 4 << 20  # and their size, unless one alone is larger
_GROUP = "apiextensions.k8s.io"
_KIND = "ConversionReview"
_SUPPORTED = ("v1", "v1beta1")

_Key = tuple[str, str, bytes]
_known: ContextVar[dict[_Key, bytes] | None] = ContextVar("known_conversions", default=None)


class Pending(Exception):
    """now() was asked for what is not known yet; running() finds it out."""

    def __init__(self, converter: Converter, key: _Key, obj: Obj, target: str) -> None:
        super().__init__("conversion pending")
        self.converter, self.key, self.obj, self.target = converter, key, obj, target


class Converter:
    """schemas: structural schema of each version, by name."""

    def __init__(self, definition: Obj, kind: str, schemas: Mapping[str, Structural], caller: Caller) -> None:
        spec = definition["spec"]
        webhook = spec["conversion"].get("webhook") or {}
        self._config: Obj = webhook.get("clientConfig") or {}
        self._reviews: Sequence[str] = webhook.get("conversionReviewVersions") or ()
        self._group: str = spec["group"]
        self._kind = kind
        self._schemas = schemas
        self._caller = caller

    # -- at once

    def now(self, obj: Obj, source: str, target: str) -> Obj:
        """The object in another version, inside of running()."""
        known = _known.get()
        if known is None:
            raise RuntimeError("a conversion was asked for where nobody can wait for it")
        key = (source, target, orjson.dumps(obj))
        found = known.get(key)
        if found is None:
            raise Pending(self, key, obj, target)
        converted: Obj = orjson.loads(found)
        return converted

    # -- by asking

    async def convert(self, objects: Sequence[Obj], target: str) -> list[Obj]:
        """The objects, kind and apiVersion included, in the version; those that are in it already as they are."""
        wanted = gvk.api_version(self._group, target)
        asked = [obj for obj in objects if obj["apiVersion"] != wanted]
        for obj in asked:
            if gvk.split_api_version(obj["apiVersion"])[1] not in self._schemas:
                text = f"request to convert CR from an invalid group/version: {obj['apiVersion']}"
                raise metadata.plain_failure(text)
        answers: list[Obj] = []
        for batch in _batches(asked):
            answers += await self._ask(batch, target, wanted)
        remaining = iter(answers)
        return [obj if obj["apiVersion"] == wanted else next(remaining) for obj in objects]

    async def _ask(self, objects: Sequence[Obj], target: str, wanted: str) -> list[Obj]:
        what = f"conversion webhook for {objects[0]['apiVersion']}, Kind={self._kind}"
        uid = str(uuid.uuid4())
        review = self._review(objects, wanted, uid)
        try:
            answer = await self._caller.post(self._config, review, SECONDS)
        except CallFailed as error:
            text = str(error).removeprefix("failed to call webhook: ")
            raise metadata.plain_failure(f"{what} failed: {text}") from error
        try:
            converted = _converted(answer, review["apiVersion"], uid)
        except _Malformed as error:
            raise metadata.plain_failure(f"{what} failed: {error}") from error
        if len(converted) != len(objects):
            text = f"{what} returned {len(converted)} objects, expected {len(objects)}"
            raise metadata.plain_failure(text)
        return [
            self._accepted(original, made, target, wanted, what, position)
            for position, (original, made) in enumerate(zip(objects, converted, strict=True))
        ]

    def _review(self, objects: Sequence[Obj], wanted: str, uid: str) -> Obj:
        version = next((version for version in self._reviews if version in _SUPPORTED), None)
        if version is None:
            raise metadata.plain_failure("no supported conversion review versions")
        return {
            "kind": _KIND,
            "apiVersion": f"{_GROUP}/{version}",
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": list(objects)},
            "response": {"uid": "", "convertedObjects": None, "result": {"metadata": {}}},
        }

    def _accepted(self, original: Obj, made: Any, target: str, wanted: str, what: str, position: int) -> Obj:
        """A converted object, checked, with the original's metadata, pruned."""
        if not isinstance(made, dict) or not isinstance(made.get("kind"), str) or not made["kind"]:
            shown = orjson.dumps(made).decode()
            raise metadata.plain_failure(f"Object 'Kind' is missing in '{shown}'")
        where = f"{what} returned invalid object at index {position}"
        version, kind = made.get("apiVersion"), made["kind"]
        if version != wanted:
            text = f"{where}: invalid groupVersion (expected {wanted}, received {version or ''})"
            raise metadata.plain_failure(text)
        if kind != original["kind"]:
            text = f"{where}: invalid kind (expected {original['kind']}, received {kind})"
            raise metadata.plain_failure(text)
        try:
            _check_identity(original, made)
        except _Malformed as error:
            raise metadata.plain_failure(f"{what} returned invalid object: {error}") from error
        try:
            made["metadata"] = _metadata(original["metadata"], made)
        except _Malformed as error:
            raise metadata.plain_failure(f"{what} returned invalid metadata: {error}") from error
        structural.prune(made, self._schemas[target], root=True)
        return made


def _batches(objects: Sequence[Obj]) -> Iterator[list[Obj]]:
    """The objects in portions that a webhook can be expected to take at once."""
    batch: list[Obj] = []
    size = 0
    for obj in objects:
        weight = len(orjson.dumps(obj))
        if batch and (len(batch) == _BATCH or size + weight > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(obj)
        size += weight
    if batch:
        yield batch


class _Malformed(Exception):
    """What is wrong with an answer."""


def _converted(answer: Any, api_version: str, uid: str) -> list[Any]:
    """The objects of a review's response. _Malformed for one that is no success."""
    answer = answer if isinstance(answer, dict) else {}
    strict = api_version == f"{_GROUP}/v1"
    got = f"{answer.get('apiVersion') or '/'}, Kind={answer.get('kind') or ''}"
    expected = f"{api_version}, Kind={_KIND}"
    if strict and got != expected:
        raise _Malformed(f"expected webhook response of {expected}, got {got}")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise _Malformed("no response provided")
    if strict and response.get("uid", "") != uid:
        raise _Malformed(f"expected response.uid={go_quote(uid)}, got {go_quote(str(response.get('uid', '')))}")
    result = response.get("result")
    result = result if isinstance(result, dict) else {}
    if result.get("status") != "Success":
        raise _Malformed(
            result.get("message") or f"response.result.status was '{result.get('status') or ''}', not 'Success'"
        )
    objects = response.get("convertedObjects") or []
    return objects if isinstance(objects, list) else []


def _check_identity(original: Obj, made: Obj) -> None:
    before = original["metadata"]
    after = made.get("metadata")
    after = after if isinstance(after, dict) else {}
    for name, word in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        expected, got = before.get(name) or "", after.get(name) or ""
        if expected != got:
            raise _Malformed(f"must have the same {word}: {expected} != {got}")


def _metadata(before: Obj, made: Obj) -> Obj:
    """The original's metadata with the labels and annotations of the converted object."""
    if "metadata" not in made:
        raise _Malformed("missing metadata in converted object")
    after = made["metadata"]
    if not isinstance(after, dict):
        raise _Malformed(f"invalid metadata of type {_go_type(after)} in converted object")
    kept = dict(before)
    for name in ("labels", "annotations"):
        found = after.get(name)
        if found is None:
            kept.pop(name, None)
            continue
        if not isinstance(found, dict):
            raise _Malformed(f"invalid metadata.{name} of type {_go_type(found)} in converted object")
        for key, value in found.items():
            if not isinstance(value, str):
                text = f"metadata.{name}[{key}] must be a string, but is {_go_type(value)} in converted object"
                raise _Malformed(text)
        if found != (before.get(name) or {}) and (problems := _check_map(name, found)):
            texts = [str(problem) for problem in problems]
            raise _Malformed(texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]")
        kept[name] = found
    return kept


def _check_map(name: str, values: dict[str, str]) -> list[FieldError]:
    if name == "labels":
        return label_rules.validate_labels(values, "metadata.labels")
    return meta_rules.validate_annotations(values, "metadata.annotation")


def _go_type(value: Any) -> str:
    """What Go prints for the type of decoded JSON."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "bool"
    words = {str: "string", int: "int64", float: "float64", list: "[]interface {}", dict: "map[string]interface {}"}
    return words[type(value)]


async def running(kind: Kind | None, attempt: Callable[[], Awaitable[T]]) -> T:
    """The attempt's result; it may be made several times, until every conversion that it needs is known."""
    if kind is None or not kind.converts_by_webhook:
        return await attempt()
    known: dict[_Key, bytes] = dict(_known.get() or {})
    token = _known.set(known)
    try:
        while True:
            try:
                return await attempt()
            except Pending as pending:
                (converted,) = await pending.converter.convert([pending.obj], pending.target)
                known[pending.key] = orjson.dumps(converted)
    finally:
        _known.reset(token)
