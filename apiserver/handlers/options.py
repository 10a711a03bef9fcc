"""Query parameters and bodies that say how a request is to be carried out: CreateOptions, UpdateOptions, PatchOptions,
DeleteOptions, ListOptions, GetOptions. Decoding is as lenient, and validation as strict, as the original's.
"""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery import errors, field
from apimachinery.field import FieldError
from apiserver import negotiate
from apiserver.filters.base import Request
from apiserver.registry.kind import Obj
from apiserver.requestinfo import parse_bool
from apiserver.validation import meta as meta_rules
from openapi import codec, schemas

Query = dict[str, list[str]]
_META = "meta.k8s.io"
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_DELETE_FIELDS = ("gracePeriodSeconds", "orphanDependents", "propagationPolicy", "dryRun", "preconditions")
INT64 = range(-(1 << 63), 1 << 63)


def parse_int(text: str) -> int:
    """A query's integer; 400 in the words of Go's strconv."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise errors.bad_request(f"strconv.ParseInt: parsing {field.go_quote(text)}: invalid syntax")
    value = int(text) if len(text) < 30 else 1 << 64
    if value not in INT64:
        raise errors.bad_request(f"strconv.ParseInt: parsing {field.go_quote(text)}: value out of range")
    return value


def _int(query: Query, name: str) -> int | None:
    """A number that may be left out; an empty one is none."""
    values = query.get(name)
    return parse_int(values[0]) if values else None


INTERNAL = "meta.k8s.io/__internal"  # the version of options of a DELETE in audit events, as the original has it


def _refuse(kind: str, found: list[FieldError]) -> None:
    if found:
        raise errors.invalid(_META, kind, "", found)


def _dry_run(values: list[str]) -> list[FieldError]:
    if all(value == "All" for value in values):
        return []
    return [field.not_supported("dryRun", values, ["All"])]


_DIRECTIVES = ("", "Ignore", "Strict", "Warn")


def _write_options(kind: str, query: Query) -> tuple[Obj, list[FieldError]]:
    options: Obj = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
    if not query:
        return options, []
    found: list[FieldError] = []
    manager = query.get("fieldManager")
    if manager and manager[0]:
        options["fieldManager"] = manager[0]
        found += meta_rules.validate_field_manager(manager[0], "fieldManager")
    dry_run = query.get("dryRun")
    if dry_run:
        options["dryRun"] = dry_run
        found += _dry_run(dry_run)
    directive = query.get("fieldValidation")
    if directive and directive[0]:
        options["fieldValidation"] = directive[0]
        if directive[0] not in _DIRECTIVES:
            found.append(field.not_supported("fieldValidation", directive[0], _DIRECTIVES))
    return options, found


def create_options(query: Query) -> Obj:
    options, found = _write_options("CreateOptions", query)
    _refuse("CreateOptions", found)
    return options


def update_options(query: Query) -> Obj:
    options, found = _write_options("UpdateOptions", query)
    _refuse("UpdateOptions", found)
    return options


def patch_options(query: Query, patch_type: str) -> Obj:
    options, found = _write_options("PatchOptions", query)
    first: list[FieldError] = []
    force = query.get("force")
    if force:
        options["force"] = parse_bool(force)
    if patch_type == negotiate.APPLY_PATCH:
        if not options.get("fieldManager"):
            first.append(field.required("fieldManager", "is required for apply patch"))
    elif force:
        first.append(field.forbidden("force", "may not be specified for non-apply patch"))
    _refuse("PatchOptions", first + found)
    return options


def as_kind(options: Obj, kind: str) -> Obj:
    """The same choices as options of another kind (a PUT that creates has CreateOptions)."""
    return {**{name: value for name, value in options.items() if name != "force"}, "kind": kind}


async def delete_options(request: Request) -> Obj:
    """DeleteOptions from the body, or from the query when there is no body. Only one of them counts."""
    body = await request.read()
    if body:
        options = _delete_body(body, negotiate.input_type(request))
    else:
        options = _delete_query(request.query)
    options["kind"], options["apiVersion"] = "DeleteOptions", "meta.k8s.io/v1"
    check_delete(options)
    return options


def check_delete(options: Obj) -> None:
    """422 for DeleteOptions that contradict themselves or say what does not exist."""
    found: list[FieldError] = []
    policy = options.get("propagationPolicy")
    if options.get("orphanDependents") is not None and policy is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        found.append(field.invalid("propagationPolicy", policy, text))
    if policy is not None and policy not in ("Foreground", "Background", "Orphan"):
        found.append(field.not_supported("propagationPolicy", policy, ["Foreground", "Background", "Orphan", "nil"]))
    found += _dry_run(options.get("dryRun") or [])
    _refuse("DeleteOptions", found)


def _delete_query(query: Query) -> Obj:
    options: Obj = {}
    grace = _int(query, "gracePeriodSeconds")
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    if query.get("orphanDependents"):
        options["orphanDependents"] = parse_bool(query["orphanDependents"])
    if query.get("propagationPolicy"):
        options["propagationPolicy"] = query["propagationPolicy"][0]
    if query.get("dryRun"):
        options["dryRun"] = query["dryRun"]
    wanted = {name: query[name][0] for name in ("uid", "resourceVersion") if query.get(name) and query[name][0]}
    if wanted:
        options["preconditions"] = wanted
    return options


def _delete_body(body: bytes, media_type: str) -> Obj:
    parsed = _load(body, media_type)
    found = parsed.obj
    if found is None:
        return {}  # to Go, null is an object of which nothing is told
    if not isinstance(found, dict):
        name = {list: "array", str: "string", bool: "bool"}.get(type(found), "number")
        raise errors.bad_request(
            "couldn't get version/kind; json parse error: json: cannot unmarshal "
            f'{name} into Go value of type struct {{ APIVersion string "json:\\"apiVersion,omitempty\\""; '
            'Kind string "json:\\"kind,omitempty\\"" }'
        )
    kind, version = found.get("kind") or "DeleteOptions", found.get("apiVersion") or "meta.k8s.io/v1"
    if kind != "DeleteOptions":
        scheme = 'in scheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"'
        raise errors.bad_request(f'no kind "{kind}" is registered for version "{version}" {scheme}')
    try:
        options: Obj = codec.decode(schemas.load().type(_DELETE_OPTIONS), parsed)[0]
    except codec.DecodeError as error:
        raise errors.bad_request(str(error)) from None
    return {name: options[name] for name in _DELETE_FIELDS if name in options}


def _load(body: bytes, media_type: str) -> codec.Parsed:
    try:
        return codec.parse(body, media_type)
    except codec.ParseError as error:
        if media_type == negotiate.PROTOBUF:
            raise errors.bad_request(str(error)) from error
        text = error.yaml or f"couldn't get version/kind; json parse error: {error}"
        raise errors.bad_request(text) from error


@dataclass(frozen=True, slots=True)
class ListOptions:
    """ListOptions as decoded; selectors still as text. send_initial: None when not given."""

    label_selector: str = ""
    field_selector: str = ""
    watch: bool = False
    bookmarks: bool = False
    resource_version: str = ""
    match: str = ""
    timeout: int | None = None
    limit: int = 0
    continue_token: str = ""
    send_initial: bool | None = None


PLAIN_LIST = ListOptions()


def list_options(query: Query, *, force_watch: bool = False) -> ListOptions:
    """Decoded and validated, defaults of watches included (a watch without a version begins with what there is).

    force_watch: the path says so; the original then checks the options as those of a list.
    """
    if not query and not force_watch:
        return PLAIN_LIST

    def text(name: str) -> str:
        values = query.get(name)
        return values[0] if values else ""

    limit, timeout = _int(query, "limit") or 0, _int(query, "timeoutSeconds")
    watch = parse_bool(query.get("watch"))
    send_initial = parse_bool(query["sendInitialEvents"]) if query.get("sendInitialEvents") else None
    revision, match, token = text("resourceVersion"), text("resourceVersionMatch"), text("continue")
    if watch and send_initial is None and not match and revision in ("", "0"):
        send_initial, match = True, "NotOlderThan"
    _refuse(
        "ListOptions",
        _watch_errors(match, token, send_initial) if watch else _list_errors(revision, match, token, send_initial),
    )
    return ListOptions(
        label_selector=text("labelSelector"),
        field_selector=text("fieldSelector"),
        watch=watch or force_watch,
        bookmarks=parse_bool(query.get("allowWatchBookmarks")),
        resource_version=revision,
        match=match,
        timeout=timeout,
        limit=max(limit, 0),
        continue_token=token,
        send_initial=send_initial,
    )


_NOT_WITH_CONTINUE = "resourceVersionMatch is forbidden when continue is provided"


def _list_errors(revision: str, match: str, token: str, send_initial: bool | None) -> list[FieldError]:
    found: list[FieldError] = []
    path = "resourceVersionMatch"
    if match:
        if not revision:
            found.append(field.forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if token:
            found.append(field.forbidden(path, _NOT_WITH_CONTINUE))
        if match not in ("Exact", "NotOlderThan"):
            found.append(field.not_supported(path, match, ["Exact", "NotOlderThan", ""]))
        if match == "Exact" and revision == "0":
            found.append(field.forbidden(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if send_initial is not None:
        found.append(field.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return found


def _watch_errors(match: str, token: str, send_initial: bool | None) -> list[FieldError]:
    found: list[FieldError] = []
    path = "resourceVersionMatch"
    if send_initial is not None and match != "NotOlderThan":
        found.append(field.forbidden(path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if match:
        if send_initial is None:
            found.append(
                field.forbidden(
                    path, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
                )
            )
        if match != "NotOlderThan":
            found.append(field.not_supported(path, match, ["NotOlderThan"]))
        if token:
            found.append(field.forbidden(path, _NOT_WITH_CONTINUE))
    return found
