"""Static costs of calls: Kubernetes' estimates for its libraries, then cel-go's own.

WARNING: any change here changes which rules a CustomResourceDefinition may have; the numbers are the original's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from apimachinery.cel import types
from apimachinery.cel.ranges import ANY, ONE, UNBOUNDED, Range, fixed
from apimachinery.cel.runtimecost import AUTHORIZATION, LIST, REGEX_LENGTH, STRUCT, TRAVERSAL
from apimachinery.cel.syntax import Literal, Node
from apimachinery.cel.types import Type

if TYPE_CHECKING:
    from apimachinery.cel.estimate import Sizes

MAX_FORMAT_SIZE = 64
MAX_NAME_FORMAT_REGEX = 128
Path = tuple[str, ...]


class Operand(NamedTuple):
    """A target or an argument. path: from a variable into its type, () when it is not known."""

    path: Path
    type: Type
    node: Node | None
    size: Range | None


class Estimate(NamedTuple):
    """The cost of a call without its arguments', and the size of its result where that is known."""

    cost: Range
    size: Range | None = None


class Call(NamedTuple):
    function: str
    overload: str
    target: Operand | None
    args: list[Operand]
    sizes: Sizes

    def size(self, operand: Operand) -> Range:
        if operand.size is not None:
            return operand.size
        return self.sizes.of(operand.path) or ANY

    def elements(self, operand: Operand) -> Operand | None:
        """The elements of a list."""
        if not operand.type.params:
            return None
        path = (*operand.path, "@items") if operand.path else ()
        return Operand(path, operand.type.params[0], None, None)


Estimator = Callable[[Call], Estimate | None]


def _selector(call: Call) -> Estimate | None:
    if len(call.args) != 1:
        return None
    length = call.size(call.args[0])
    requirements = length.scaled(0.5).scaled(float(LIST + STRUCT))
    return Estimate(fixed(LIST).plus(length.scaled(TRAVERSAL)).plus(requirements))


def _list_scan(call: Call) -> Estimate | None:
    if call.target is None:
        return None
    element = call.elements(call.target)
    if element is None:  # indexOf of a string
        return Estimate(call.size(call.target).scaled(TRAVERSAL))
    each = ONE
    if element.type.kind in (types.STRING, types.BYTES):
        each = each.plus(call.size(element).scaled(TRAVERSAL))
    return Estimate(call.size(call.target).times(each))


def _argument_read(call: Call) -> Estimate | None:
    if len(call.args) != 1:
        return None
    size = call.size(call.args[0])
    return Estimate(size.scaled(TRAVERSAL), size)


def _target_read(call: Call) -> Estimate | None:
    if call.target is None:
        return None
    size = call.size(call.target)
    return Estimate(size.scaled(TRAVERSAL), size)


def _first_read(factor: float) -> Estimator:
    def estimate(call: Call) -> Estimate | None:
        return Estimate(call.size(call.args[0]).scaled(factor)) if call.args else None

    return estimate


def _replace(call: Call) -> Estimate | None:
    if call.target is None or len(call.args) < 2:
        return None
    size, old, new = call.size(call.target), call.size(call.args[0]), call.size(call.args[1])
    most, kept_most = _longest(size, old, new)
    least, kept_least = _shortest(size, old, new)
    result = Range(least, most).times(new).plus(Range(kept_least, kept_most))
    return Estimate(size.scaled(2 * TRAVERSAL), result)


def _longest(size: Range, old: Range, new: Range) -> tuple[int, int]:
    """How often a replacement can occur at most, and how much of the text then stays."""
    if old.min == 0:
        return min(size.max + 1, UNBOUNDED), size.max
    if new.max <= old.min:
        return 0, size.max
    return min(math.ceil(float(size.max) / float(old.min)), UNBOUNDED), 0


def _shortest(size: Range, old: Range, new: Range) -> tuple[int, int]:
    if old.max == 0:
        return min(size.min + 1, UNBOUNDED), size.min
    if old.max <= new.min:
        return 0, size.min
    return math.ceil(float(size.min) / float(old.max)), 0


def _split(call: Call) -> Estimate | None:
    if call.target is None:
        return None
    size = call.size(call.target)
    most = size.max
    if len(call.args) > 1 and isinstance(call.args[1].node, Literal) and call.args[1].node.value.__class__ is int:
        most = call.args[1].node.value % 2**64
    return Estimate(size.scaled(2 * TRAVERSAL), Range(0, most))


def _join(call: Call) -> Estimate | None:
    if call.target is None:
        return None
    count = call.size(call.target)
    element = call.elements(call.target)
    size = count.times(call.size(element)) if element is not None else fixed(0)
    if call.args:
        between = Range(max(count.min - 1, 0), max(count.max - 1, 0))
        size = size.plus(call.size(call.args[0]).times(between))
    return Estimate(size.scaled(TRAVERSAL), size)


def _find(call: Call) -> Estimate | None:
    if call.target is None or not call.args:
        return None
    size = call.size(call.target)
    cost = size.plus(ONE).scaled(TRAVERSAL).times(call.size(call.args[0]).scaled(REGEX_LENGTH))
    return Estimate(cost, Range(0, size.max))


def _ip(call: Call) -> Estimate | None:
    return Estimate(ONE) if call.overload == "cidr_ip" else _first_read(TRAVERSAL)(call)


_ADDRESS = Range(4, 16)  # bytes


def _contains_ip(call: Call) -> Estimate | None:
    if not call.args:
        return None
    cost = _ADDRESS.plus(_ADDRESS).scaled(TRAVERSAL)
    if call.overload == "cidr_contains_ip_string":
        cost = cost.plus(call.size(call.args[0]).scaled(TRAVERSAL))
    return Estimate(cost)


def _contains_cidr(call: Call) -> Estimate | None:
    if not call.args:
        return None
    cost = _ADDRESS.plus(_ADDRESS).scaled(TRAVERSAL).plus(_ADDRESS.scaled(TRAVERSAL)).plus(ONE)
    if call.overload == "cidr_contains_cidr_string":
        cost = cost.plus(call.size(call.args[0]).scaled(TRAVERSAL))
    return Estimate(cost)


def _validate(call: Call) -> Estimate | None:
    if not call.args:
        return None
    read = call.size(call.args[0]).scaled(TRAVERSAL)
    return Estimate(read.scaled(MAX_NAME_FORMAT_REGEX * REGEX_LENGTH))


_EQUAL_AT_ONCE = frozenset(
    {
        types.QUANTITY,
        types.SEMVER,
        types.IP,
        types.CIDR,
        *(
            types.struct(f"kubernetes.authorization.{name}")
            for name in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision")
        ),
    }
)


def _equality(call: Call) -> Estimate | None:
    """Kubernetes' own types are compared at once; everything else as cel-go says."""
    if len(call.args) != 2 or call.args[0].type != call.args[1].type:
        return None
    kind = call.args[0].type
    if kind in _EQUAL_AT_ONCE:
        return Estimate(ONE)
    if kind == types.FORMAT:
        return Estimate(Range(1, MAX_FORMAT_SIZE).scaled(TRAVERSAL))
    if kind == types.URL:
        size = call.args[1].size or ONE
        return Estimate(Range(1, size.max).scaled(TRAVERSAL))
    return None


def _constant(cost: int) -> Estimator:
    return lambda _: Estimate(fixed(cost))


_ONE = _constant(1)
_BY_FUNCTION: dict[str, Estimator] = {
    "check": _constant(AUTHORIZATION),
    **dict.fromkeys(
        [
            "serviceAccount",
            "path",
            "group",
            "resource",
            "subresource",
            "namespace",
            "name",
            "allowed",
            "reason",
            "error",
            "errored",
            "masked",
            "prefixLength",
            "family",
            "isUnspecified",
            "isLoopback",
            "isLinkLocalMulticast",
            "isLinkLocalUnicast",
            "isGlobalUnicast",
            "format.named",
            "sign",
            "asInteger",
            "isInteger",
            "asApproximateFloat",
            "isGreaterThan",
            "isLessThan",
            "compareTo",
            "add",
            "sub",
            "major",
            "minor",
            "patch",
            "getScheme",
            "getHostname",
            "getHost",
            "getPort",
            "getEscapedPath",
            "getQuery",
        ],
        _ONE,
    ),
    **dict.fromkeys(("fieldSelector", "labelSelector"), _selector),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _list_scan),
    **dict.fromkeys(("url", "jsonpatch.escapeKey"), _argument_read),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _target_read),
    "replace": _replace,
    "split": _split,
    "join": _join,
    **dict.fromkeys(("find", "findAll"), _find),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _first_read(TRAVERSAL)),
    "ip": _ip,
    "ip.isCanonical": _first_read(2 * TRAVERSAL),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    "_==_": _equality,
}


# -- by overload: cel-go's lists and sets


def _sets(factor: int) -> Estimator:
    def estimate(call: Call) -> Estimate | None:
        if len(call.args) != 2:
            return None
        return Estimate(call.size(call.args[0]).times(call.size(call.args[1])).scaled(factor).plus(ONE))

    return estimate


def _made(factor: float, size: Range) -> Estimate:
    return Estimate(size.scaled(factor).plus(ONE).plus(fixed(LIST)), size)


def _int_value(operand: Operand, default: int) -> int:
    if not isinstance(operand.node, Literal) or operand.node.value.__class__ is not int:
        return default
    return max(operand.node.value, 0)


def _slice(call: Call) -> Estimate | None:
    if call.target is None or len(call.args) != 2:
        return None
    most = call.size(call.target).max
    start, end = _int_value(call.args[0], 0), _int_value(call.args[1], most)
    return _made(1, fixed((end - start) % 2**64))


def _range(call: Call) -> Estimate | None:
    return _made(1, fixed(_int_value(call.args[0], UNBOUNDED))) if len(call.args) == 1 else None


def _reverse(call: Call) -> Estimate | None:
    return _made(1, call.size(call.target)) if call.target is not None and not call.args else None


def _flatten(call: Call) -> Estimate | None:
    if call.target is None or len(call.args) > 1:
        return None
    depth = _int_value(call.args[0], UNBOUNDED) if call.args else 1
    return _made(float(depth), call.size(call.target))


def _distinct(call: Call) -> Estimate | None:
    if call.target is None or call.args:
        return None
    size = call.size(call.target)
    return _made(2.0, size.times(size))


def _sort(call: Call) -> Estimate | None:
    if call.target is None:
        return None
    keys = call.args[0] if call.overload.endswith("sortByAssociatedKeys") else call.target
    size = call.size(keys)
    texts = call.overload.startswith(("list_string_", "list_bytes_"))
    return _made(2.0 + (TRAVERSAL if texts else 0), size.times(size))


_BY_OVERLOAD: dict[str, Estimator] = {
    "list_sets_contains_list": _sets(1),
    "list_sets_intersects_list": _sets(1),
    "list_sets_equivalent_list": _sets(2),
    "list_slice": _slice,
    "lists_range": _range,
    "list_reverse": _reverse,
    "list_flatten": _flatten,
    "list_flatten_int": _flatten,
    "list_distinct": _distinct,
}


# -- by overload: cel-go's standard functions; a size that is not known here is any size


def _known(operand: Operand) -> Range:
    return operand.size or ANY


def _read(call: Call, operand: Operand | None) -> Estimate | None:
    return Estimate(_known(operand).scaled(TRAVERSAL)) if operand is not None else None


def _to_bytes(call: Call) -> Estimate | None:
    if len(call.args) != 1:
        return None
    size = _known(call.args[0])
    return Estimate(size.scaled(TRAVERSAL), Range(size.min, size.max * 4 % 2**64))


def _to_string(call: Call) -> Estimate | None:
    if len(call.args) != 1:
        return None
    size = _known(call.args[0])
    return Estimate(size.scaled(TRAVERSAL), Range(size.min // 4, size.max))


def _quote(call: Call) -> Estimate | None:
    if len(call.args) != 1:
        return None
    size = _known(call.args[0])
    return Estimate(size.scaled(TRAVERSAL), Range(size.min + 2, (size.max * 2 + 2) % 2**64))


def _matches(call: Call) -> Estimate | None:
    if call.target is None or len(call.args) != 1:
        return None
    text = _known(call.target).plus(ONE).scaled(TRAVERSAL)
    return Estimate(text.times(_known(call.args[0]).scaled(REGEX_LENGTH)))


def _contains(call: Call) -> Estimate | None:
    if call.target is None or len(call.args) != 1:
        return None
    return Estimate(_known(call.target).scaled(TRAVERSAL).times(_known(call.args[0]).scaled(TRAVERSAL)))


def _comparison(call: Call) -> Estimate | None:
    most = min(_known(call.args[0]).max, _known(call.args[1]).max)
    return Estimate(Range(1 if most else 0, most).scaled(TRAVERSAL))


def _concatenation(call: Call) -> Estimate | None:
    if len(call.args) != 2:
        return None
    size = _known(call.args[0]).plus(_known(call.args[1]))
    return Estimate(ONE if call.overload == "add_list" else size.scaled(TRAVERSAL), size)


_STANDARD: dict[str, Estimator] = {
    "string_format": lambda call: _read(call, call.target),
    "string_to_bytes": _to_bytes,
    "bytes_to_string": _to_string,
    "strings_quote": _quote,
    **dict.fromkeys(("starts_with_string", "ends_with_string"), lambda call: _read(call, call.args[0])),
    "in_list": lambda call: Estimate(_known(call.args[1])),
    "matches_string": _matches,
    "contains_string": _contains,
    "add_string": _concatenation,
    "add_bytes": _concatenation,
    "add_list": _concatenation,
    "equals": _comparison,
    "not_equals": _comparison,
    **{
        f"{word}_{kind}": _comparison
        for word in ("less", "greater", "less_equals", "greater_equals")
        for kind in ("string", "bytes")
    },
}


def estimate(call: Call) -> Estimate:
    """The cost of one overload of a call, without its arguments'."""
    candidates: tuple[Any, ...] = (
        _BY_OVERLOAD.get(call.overload),
        _sort if call.overload.endswith(("_sort", "_sortByAssociatedKeys")) else None,
        _BY_FUNCTION.get(call.function),
        _STANDARD.get(call.overload),
    )
    for estimator in candidates:
        if estimator is not None:
            found: Estimate | None = estimator(call)
            if found is not None:
                return found
    return Estimate(ONE)
