"""Values against the rules of a custom resource's schema, in the words of the original's OpenAPI validator.

    Validator(schema).check(value, path)                 field errors, in the order in which the original's validators run
    Validator(schema).check(value, correlation=...)      without those of parts that are as they were (ratcheting)

A schema is a JSONSchemaProps in JSON shape, structural or the default of one. It is compiled part by part as values need it.
Nothing here shapes values: openapi.structural does.

Each check counts what it found good, as the original does: of the branches of anyOf and oneOf, the one with the highest count
tells its errors. No error is told twice, and errors are the same when their texts are.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import orjson

from apimachinery import field
from apimachinery.field import FieldError
from openapi import formats, regexp
from openapi.correlation import Correlation

Json = dict[str, Any]
Found = dict[str, FieldError]  # by text

BLOCKING = (
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
)
_NOWHERE = "<nil>"  # how the original names the whole
_WHOLE = (1 << 53) - 1  # the largest float that counts as an integer
_NUMERIC_FORMATS = {"integer": ("int32", "int64"), "number": ("float", "double")}


class Validator:
    """A schema's rules. typed: whether an int-or-string has to be one."""

    def __init__(self, schema: Json, *, typed: bool = True) -> None:
        self._schema = schema
        self._typed = typed
        self._node: _Node | None = None

    def check(self, value: Any, path: str = "", *, correlation: Correlation | None = None) -> list[FieldError]:
        """Everything wrong with the value. path: of the value, "" for a whole object."""
        if self._node is None:
            self._node = _Node(self._schema, self._typed)
        found: Found = {}
        ratchet = None if correlation is None else _Ratchet(correlation, "")
        self._node.check(value, "", _Run(path, found), ratchet)
        if ratchet is not None and found and ratchet.correlation.equal():
            return []
        return list(found.values())


class _Run:
    """Where errors go, and what their paths begin with."""

    __slots__ = ("found", "root")

    def __init__(self, root: str, found: Found) -> None:
        self.root = root
        self.found = found

    def apart(self) -> _Run:
        return _Run(self.root, {})

    def at(self, name: str) -> str:
        name = name.removeprefix(".")
        if not name:
            return self.root or _NOWHERE
        return f"{self.root}.{name}" if self.root else name

    def add(self, text: str, error: FieldError) -> None:
        self.found.setdefault(text, error)

    def invalid(self, name: str, value: Any, text: str) -> None:
        if text not in self.found:
            self.found[text] = field.invalid(self.at(name), value, text)

    def general(self, text: str) -> None:
        """An error that the original ties to no field."""
        if text not in self.found:
            self.found[text] = field.invalid(self.root or _NOWHERE, "", text)


class _Ratchet:
    """A part that has an old one, and its name."""

    __slots__ = ("correlation", "name")

    def __init__(self, correlation: Correlation, name: str) -> None:
        self.correlation = correlation
        self.name = name


def type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


_GO_FORMATS = {"integer": "int64", "number": "float64"}


class _Node:
    """A schema, compiled. What is below it is compiled when it is needed."""

    __slots__ = (
        "_items",
        "_members",
        "_typed",
        "branches",
        "enum",
        "format",
        "list_rules",
        "number",
        "object_rules",
        "raw",
        "text",
        "types",
    )

    def __init__(self, raw: Json, typed: bool) -> None:
        self.raw = raw
        self._typed = typed
        self._items: _Node | None = None
        self._members: dict[str | None, _Node] = {}
        kind = raw.get("type") or ""
        int_or_string = typed and raw.get("x-kubernetes-int-or-string") is True
        self.types: tuple[str, ...] = ("integer", "string") if int_or_string else (kind,) if kind else ()
        form = raw.get("format") or ""
        self.format = form if form and formats.known(form, "" if int_or_string else kind) else ""
        self.enum = raw.get("enum") or None
        self.number = _number_rules(raw, self.types, self.format)
        self.text = _Text(raw, self.format) if _has(raw, "maxLength", "minLength", "pattern") or self.format else None
        self.branches = _Branches(raw, typed) if _has(raw, "anyOf", "oneOf", "allOf", "not") else None
        self.list_rules = _has(raw, "items", "minItems", "maxItems")
        self.object_rules = _has(
            raw, "properties", "additionalProperties", "required", "minProperties", "maxProperties"
        )

    # -- one value

    def check(self, value: Any, name: str, run: _Run, ratchet: _Ratchet | None) -> int:
        """Adds what is wrong; how much was found good."""
        if value is None:
            count = self._check_type(value, name, run)
            if self.enum is not None:
                self._check_enum(value, name, run)
            return count
        count = 3  # that there are combinations and an enumeration to look at, and the whole
        if self.types or self.format:
            count += 1 + self._check_type(value, name, run)
        count += 1 if self.branches is None else self.branches.check(value, name, run, ratchet)
        if isinstance(value, str):
            count += 2 if self.format else 1
            if self.text is not None:
                self.text.check(value, name, run)
        elif isinstance(value, list):
            count += 2 + (self._check_list(value, name, run, ratchet) if self.list_rules else 0)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            count += 2
            if self.number is not None:
                self.number.check(value, name, run)
        if self.enum is not None:
            self._check_enum(value, name, run)
        if isinstance(value, dict):
            count += 1 + (self._check_object(value, name, run, ratchet) if self.object_rules else 0)
        return count

    def _check_type(self, value: Any, name: str, run: _Run) -> int:
        found = type_name(value)
        if found in self.types or (not self.types and not self.format):
            return 1
        wanted = ",".join(self.types)
        if value is None:
            if not self.types or self.raw.get("nullable"):
                return 1
            return self._wrong_type(name, wanted, found, run)
        fits = ("number" in self.types and found == "integer") or (
            "integer" in self.types and found == "number" and value.is_integer() and abs(value) <= _WHOLE
        )
        if fits:
            return 1
        if self.format:
            go_format = _GO_FORMATS.get(found, "")
            if found not in ("string", "array"):
                return 1 if go_format == self.format else self._wrong_type(name, self.format, go_format, run)
            if not {"number", "integer"} & set(self.types):
                return 1
        return self._wrong_type(name, wanted, found, run)

    def _wrong_type(self, name: str, wanted: str, found: str, run: _Run) -> int:
        text = f"{name} in body must be of type {wanted}: {field.go_quote(found)}"
        run.add(text, field.type_invalid(run.at(name), found, text))
        return 0

    def _check_enum(self, value: Any, name: str, run: _Run) -> None:
        assert self.enum is not None
        if value is not None and any(_is_allowed(value, allowed) for allowed in self.enum):
            return
        shown = [item if isinstance(item, str) else _json(item) for item in self.enum]
        text = f"{name} in body should be one of {shown}"
        run.add(text, field.not_supported(run.at(name), field.as_map(value), shown))

    # -- what is inside

    def _check_list(self, value: list[Any], name: str, run: _Run, ratchet: _Ratchet | None) -> int:
        raw, count = self.raw, 0
        if isinstance(raw.get("items"), dict):
            if self._items is None:
                self._items = _Node(raw["items"], self._typed)
            for position, item in enumerate(value):
                part = None if ratchet is None else ratchet.correlation.item(position)
                count += _check_part(self._items, item, f"{name}[{position}]", run, ratchet, part)
        if (limit := raw.get("minItems")) is not None and len(value) < limit:
            run.invalid(name, len(value), f"{name} in body should have at least {limit} items")
        if (limit := raw.get("maxItems")) is not None and len(value) > limit:
            text = f"{name} in body should have at most {limit} items"
            run.add(text, field.too_many(run.at(name), len(value), limit))
        return count

    def _check_object(self, value: Json, name: str, run: _Run, ratchet: _Ratchet | None) -> int:
        raw, count = self.raw, 0
        if (limit := raw.get("minProperties")) is not None and len(value) < limit:
            run.invalid(name, len(value), f"{name} in body should have at least {limit} properties")
        if (limit := raw.get("maxProperties")) is not None and len(value) > limit:
            text = f"{name} in body should have at most {limit} properties"
            run.add(text, field.too_many(run.at(name), len(value), limit))
        properties, additional = raw.get("properties") or {}, raw.get("additionalProperties")
        if isinstance(additional, dict):
            node = self._member(None, additional)
            for key in sorted(value):
                if key not in properties:
                    part = _part(ratchet, key)
                    count += _check_part(node, value[key], f"{name}.{key}", run, ratchet, part)
        elif additional is False:
            for key in sorted(value.keys() - properties.keys()):
                run.invalid(name, key, f"{name}.{key} in body is a forbidden property")
        for key in sorted(value.keys() & properties.keys()):
            node, part = self._member(key, properties[key]), _part(ratchet, key)
            count += _check_part(node, value[key], f"{name}.{key}" if name else key, run, ratchet, part)
        for wanted in raw.get("required") or ():
            if wanted not in value:
                where = f"{name}.{wanted}"
                run.add(f"{where} in body is required", field.required(run.at(where)))
        return count

    def _member(self, key: str | None, raw: Json) -> _Node:
        found = self._members.get(key)
        if found is None:
            found = self._members[key] = _Node(raw, self._typed)
        return found


def _has(raw: Json, *names: str) -> bool:
    return any(raw.get(name) is not None for name in names)


def _json(value: Any) -> str:
    return orjson.dumps(field.as_map(value)).decode()


def _part(ratchet: _Ratchet | None, key: str) -> Correlation | None:
    """The part of that name, for ratcheting. Type and version of the whole never count as unchanged: both are converted."""
    if ratchet is None or (not ratchet.name and key in ("kind", "apiVersion")):
        return None
    return ratchet.correlation.key(key)


def _check_part(
    node: _Node, value: Any, name: str, run: _Run, ratchet: _Ratchet | None, part: Correlation | None
) -> int:
    """A part below ratchet; part: that part with the old one, None when there is none."""
    if part is None:
        return node.check(value, name, run, ratchet)
    apart = run.apart()
    count = node.check(value, name, apart, _Ratchet(part, name))
    if apart.found and not part.equal():
        for text, error in apart.found.items():
            run.add(text, error)
    return count


def _is_allowed(value: Any, allowed: Any) -> bool:
    """Whether a value is that of an enumeration once it has its type, as far as Go converts it."""
    if isinstance(value, bool) or isinstance(allowed, bool) or type(value) is type(allowed):
        return type(value) is type(allowed) and bool(value == allowed)
    if isinstance(value, float) and isinstance(allowed, int):
        return abs(value) < 1 << 63 and int(value) == allowed
    if isinstance(value, int) and isinstance(allowed, float):
        return float(value) == allowed
    if isinstance(value, int) and isinstance(allowed, str):
        return len(allowed) == 1 and ord(allowed) == value
    return False


# -- combinations


class _Branches:
    """anyOf, oneOf, allOf and not."""

    __slots__ = ("all_of", "any_of", "not_", "one_of")

    def __init__(self, raw: Json, typed: bool) -> None:
        self.any_of = [_Node(branch, typed) for branch in raw.get("anyOf") or ()]
        self.one_of = [_Node(branch, typed) for branch in raw.get("oneOf") or ()]
        self.all_of = [_Node(branch, typed) for branch in raw.get("allOf") or ()]
        self.not_ = _Node(raw["not"], typed) if raw.get("not") is not None else None

    def check(self, value: Any, name: str, run: _Run, ratchet: _Ratchet | None) -> int:
        def tried(branch: _Node) -> tuple[int, Found]:
            apart = run.apart()
            return branch.check(value, name, apart, ratchet), apart.found

        count = 1
        if self.any_of:
            count += _any(self.any_of, tried, name, run)
        if self.one_of:
            count += _one(self.one_of, tried, name, run)
        if self.all_of:
            count += _all(self.all_of, tried, name, run)
        if self.not_ is not None and not tried(self.not_)[1]:
            run.general(f"{field.go_quote(name)} must not validate the schema (not)")
        return count


def _merge(run: _Run, found: Found) -> None:
    for text, error in found.items():
        run.add(text, error)


def _any(branches: list[_Node], tried: Any, name: str, run: _Run) -> int:
    best: tuple[int, Found] | None = None
    for branch in branches:
        count, found = tried(branch)
        if not found:
            return int(count)
        if best is None or count > best[0]:
            best = count, found
    assert best is not None
    run.general(f"{field.go_quote(name)} must validate at least one schema (anyOf)")
    _merge(run, best[1])
    return best[0]


def _one(branches: list[_Node], tried: Any, name: str, run: _Run) -> int:
    valid = first = 0
    best: tuple[int, Found] | None = None
    for branch in branches:
        count, found = tried(branch)
        if not found:
            first = first if valid else int(count)
            valid += 1
            best = None
        elif not valid and (best is None or count > best[0]):
            best = count, found
    if valid == 1:
        return first
    words = f"Found {valid} valid alternatives" if valid else "Found none valid"
    run.general(f"{field.go_quote(name)} must validate one and only one schema (oneOf). {words}")
    if best is None:
        return 0
    _merge(run, best[1])
    return best[0]


def _all(branches: list[_Node], tried: Any, name: str, run: _Run) -> int:
    total = valid = 0
    for branch in branches:
        count, found = tried(branch)
        valid += not found
        total += count
        _merge(run, found)
    if valid != len(branches):
        none = "" if valid else ". None validated"
        run.general(f"{field.go_quote(name)} must validate all the schemas (allOf){none}")
    return total


# -- texts and numbers


class _Text:
    """The rules for strings. Of length and pattern the first that fails is told."""

    __slots__ = ("format", "longest", "pattern", "shortest")

    def __init__(self, raw: Json, form: str) -> None:
        self.longest = raw.get("maxLength")
        self.shortest = raw.get("minLength")
        self.pattern = raw.get("pattern") or ""
        self.format = form

    def check(self, value: str, name: str, run: _Run) -> None:
        if self.longest is not None and len(value) > self.longest:
            text = f"{name} in body should be at most {self.longest} chars long"
            run.add(text, field.too_long(run.at(name), self.longest))
        elif self.shortest is not None and len(value) < self.shortest:
            run.invalid(name, value, f"{name} in body should be at least {self.shortest} chars long")
        elif self.pattern and not regexp.matches(self.pattern, value):
            run.invalid(name, value, f"{name} in body should match '{self.pattern}'")
        form = self.format
        if form and form not in ("int32", "int64", "float", "double") and not formats.check(form, value):
            text = f"{name} in body must be of type {form}: {field.go_quote(value)}"
            run.add(text, field.type_invalid(run.at(name), value, text))


def _number_rules(raw: Json, types: tuple[str, ...], form: str) -> _Number | None:
    if types in (("integer",), ("number",)) or _has(raw, "multipleOf", "maximum", "minimum"):
        return _Number(raw, types, form)
    return None


_INTEGERS = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "": (-(1 << 63), (1 << 63) - 1),
}


class _Number:
    """The rules for numbers. Integers are compared with integers: the fraction of a limit is cut off."""

    __slots__ = ("factor", "format", "kind", "maximum", "minimum", "over", "under")

    def __init__(self, raw: Json, types: tuple[str, ...], form: str) -> None:
        self.kind = types[0] if types in (("integer",), ("number",)) else ""
        self.format = form if form in _NUMERIC_FORMATS.get(self.kind, ()) else ""
        self.factor = raw.get("multipleOf")
        self.maximum = raw.get("maximum")
        self.minimum = raw.get("minimum")
        self.over = bool(raw.get("exclusiveMaximum"))
        self.under = bool(raw.get("exclusiveMinimum"))

    def check(self, value: float, name: str, run: _Run) -> None:
        self._in_range(value, "Checked", name, run)
        if self.factor is not None:
            self._check_factor(value, float(self.factor), name, run)
        if self.minimum is not None:
            limit = self._limit(value, self.minimum, "Minimum boundary", name, run)
            if value < limit or (self.under and value == limit):
                words = "greater than" if self.under else "greater than or equal to"
                run.invalid(name, value, f"{name} in body should be {words} {field.draw_value(limit)}")
        if self.maximum is not None:
            limit = self._limit(value, self.maximum, "Maximum boundary", name, run)
            if value > limit or (self.over and value == limit):
                words = "less than" if self.over else "less than or equal to"
                run.invalid(name, value, f"{name} in body should be {words} {field.draw_value(limit)}")

    def _in_range(self, value: float, what: str, name: str, run: _Run) -> bool:
        """Whether a number is one of the type and format."""
        if self.kind == "integer":
            low, high = _INTEGERS[self.format]
            fine = low <= value <= high and value == int(value)
        else:
            fine = self.format != "float" or _is_single(value)
        if not fine:
            form = f"with format {self.format}" if self.format else "(default format)"
            run.general(f"{what} value must be of type {self.kind} {form} in {name}")
        return fine

    def _limit(self, value: float, limit: float, what: str, name: str, run: _Run) -> float:
        """A limit as it is compared with the value."""
        if self._in_range(limit, what, name, run) and isinstance(value, int):
            return int(limit)
        return float(limit)

    def _check_factor(self, value: float, factor: float, name: str, run: _Run) -> None:
        whole = self._in_range(factor, "MultipleOf", name, run) and isinstance(value, int)
        by: float = int(factor) if whole else factor
        if by <= 0:
            text = f"factor MultipleOf declared for {name} must be positive: {field.draw_value(by)}"
            run.invalid(name, by, text)
        elif (value % by) if whole else not _is_whole(1 / by * value if by < 1 else value / by):
            run.invalid(
                name, value if whole else float(value), f"{name} in body should be a multiple of {field.draw_value(by)}"
            )


def _is_single(value: float) -> bool:
    try:
        struct.pack("f", value)
    except OverflowError:
        return False
    return True


def _is_whole(value: float) -> bool:
    """Nearly an integer, as far as JSON's numbers go."""
    if not math.isfinite(value) or abs(value) > _WHOLE:
        return False
    rounded = math.floor(abs(value) + 0.5)
    return abs(value) == rounded or (rounded != 0 and abs(abs(value) - rounded) < 1e-9 * rounded)
