"""What a claim for devices says, and what was allocated for it. Called by ResourceClaim and ResourceClaimTemplate."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.kinds.resource import common
from apiserver.registry.kind import Obj
from apiserver.validation import gostruct, meta
from apiserver.validation.pod import scheduling

_DRAWN = gostruct.value("resource.k8s.io/v1/ResourceClaim", "status", "allocation")
_MAX_ITEMS = 32
_MAX_ALTERNATIVES = 8
_MAX_CONSUMERS = 256
_MAX_CONDITIONS = 8
_MAX_ADDRESSES = 16
_MODES = ("All", "ExactCount")
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"

Requests = dict[str, set[str]]


def default_claim(spec: Obj) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        parts = [part for part in (request.get("exactly"),) if part is not None]
        for part in (*parts, *(request.get("firstAvailable") or ())):
            part["allocationMode"] = part.get("allocationMode") or "ExactCount"
            if part["allocationMode"] == "ExactCount" and not part.get("count"):
                part["count"] = 1
            for toleration in part.get("tolerations") or ():
                toleration["operator"] = toleration.get("operator") or "Equal"


def validate_spec(spec: Obj, path: str) -> list[FieldError]:
    devices, at = spec.get("devices") or {}, path + ".devices"
    requests = request_names(spec)
    errors = common.unique(devices.get("requests") or (), at + ".requests", _MAX_ITEMS, _request, _name)
    errors += common.listed(
        devices.get("constraints") or (), at + ".constraints", _MAX_ITEMS, lambda c, p: _constraint(c, p, requests)
    )
    return errors + common.listed(
        devices.get("config") or (), at + ".config", _MAX_ITEMS, lambda c, p: _configuration(c, p, requests)
    )


def request_names(spec: Obj) -> Requests:
    """Names of requests with those of their alternatives."""
    return {
        request.get("name", ""): {sub.get("name", "") for sub in request.get("firstAvailable") or ()}
        for request in (spec.get("devices") or {}).get("requests") or ()
    }


def _name(item: Obj) -> str:
    return item.get("name") or ""


def _request(request: Obj, path: str) -> list[FieldError]:
    errors = common.label(request.get("name"), path + ".name")
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or ()
    text = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is None and not alternatives:
        errors.append(field.required(path, text))
    elif exactly is not None and alternatives:
        errors.append(field.invalid(path, None, text + ", but multiple fields are set"))
    elif exactly is not None:
        errors += _details(exactly, path + ".exactly")
    else:
        errors += common.unique(alternatives, path + ".firstAvailable", _MAX_ALTERNATIVES, _alternative, _name)
    return errors


def _alternative(sub: Obj, path: str) -> list[FieldError]:
    return common.label(sub.get("name"), path + ".name") + _details(sub, path)


def _details(request: Obj, path: str) -> list[FieldError]:
    errors = common.class_name(request.get("deviceClassName"), path + ".deviceClassName")
    errors += common.listed(request.get("selectors") or (), path + ".selectors", _MAX_ITEMS, common.selector)
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "All":
        if count:
            text = "must not be specified when allocationMode is 'All'"
            errors.append(field.invalid(path + ".count", count, text))
    elif mode == "ExactCount":
        if count <= 0:
            errors.append(field.invalid(path + ".count", count, "must be greater than zero"))
    else:
        errors.append(field.not_supported(path + ".allocationMode", mode, _MODES))
    return errors + common.listed(request.get("tolerations") or (), path + ".tolerations", -1, common.toleration)


def _reference(name: str, path: str, requests: Requests) -> list[FieldError]:
    segments = name.split("/")
    if len(segments) > 2:
        return [field.invalid(path, name, _REFERENCE)]
    errors = [error for segment in segments for error in common.label(segment, path)]
    subs = requests.get(segments[0])
    if subs is None or (len(segments) == 2 and segments[1] not in subs):
        errors.append(field.invalid(path, name, _REFERENCE))
    return errors


def _references(names: Any, path: str, requests: Requests) -> list[FieldError]:
    return common.unique(names or (), path, _MAX_ITEMS, lambda name, at: _reference(name, at, requests), str)


def _constraint(constraint: Obj, path: str, requests: Requests) -> list[FieldError]:
    errors = _references(constraint.get("requests"), path + ".requests", requests)
    for name in ("matchAttribute", "distinctAttribute"):
        if (value := constraint.get(name)) is not None:
            return errors + common.fully_qualified_name(value, f"{path}.{name}")
    text = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
    return [*errors, field.required(path, text)]


def _configuration(config: Obj, path: str, requests: Requests) -> list[FieldError]:
    return _references(config.get("requests"), path + ".requests", requests) + common.configuration(config, path)


# -- status


def validate_status(claim: Obj, old: Obj) -> list[FieldError]:
    status, before = claim.get("status") or {}, old.get("status") or {}
    reserved, allocation = status.get("reservedFor") or [], status.get("allocation")
    path = "status.reservedFor"
    errors = common.unique(reserved, path, _MAX_CONSUMERS, _consumer, lambda consumer: consumer.get("uid") or "")
    allocated = {_device_id(result) for result in ((allocation or {}).get("devices") or {}).get("results") or ()}
    errors += common.unique(
        status.get("devices") or (), "status.devices", -1, lambda d, at: _device(d, at, allocated), _device_id
    )
    if reserved and allocation is None:
        errors.append(field.forbidden(path, "may not be specified when `allocated` is not set"))
    elif claim["metadata"].get("deletionTimestamp") and any(
        c not in (before.get("reservedFor") or ()) for c in reserved
    ):
        text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        errors.append(field.forbidden(path, text))
    if allocation is not None:
        if before.get("allocation") is not None:
            errors += meta.validate_immutable(allocation, before["allocation"], "status.allocation", _DRAWN)
        else:
            errors += _allocation(allocation, "status.allocation", request_names(claim.get("spec") or {}))
    return errors


def _consumer(consumer: Obj, path: str) -> list[FieldError]:
    return [field.required(f"{path}.{name}") for name in ("resource", "name", "uid") if not consumer.get(name)]


def _device_id(item: Obj) -> str:
    parts = [item.get(name) or "" for name in ("driver", "pool", "device")]
    return "/".join(parts + ([item["shareID"]] if item.get("shareID") else []))


def _share(item: Obj, path: str) -> list[FieldError]:
    share = item.get("shareID")
    if share is None or _UUID.fullmatch(share):
        return []
    text = (
        "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
        "characters"
    )
    return [field.invalid(path + ".shareID", share, text)]


def _location(item: Obj, path: str) -> list[FieldError]:
    """Driver, pool and device."""
    errors = common.driver_name(item.get("driver") or "", path + ".driver")
    errors += common.pool_name(item.get("pool"), path + ".pool")
    return errors + common.label(item.get("device"), path + ".device")


def _device(device: Obj, path: str, allocated: set[str]) -> list[FieldError]:
    errors = _location(device, path) + _share(device, path)
    if (own := _device_id(device)) not in allocated:
        errors.append(field.invalid(path, own, "must be an allocated device in the claim"))
    conditions = device.get("conditions") or ()
    if len(conditions) > _MAX_CONDITIONS:
        errors.append(field.too_many(path + ".conditions", len(conditions), _MAX_CONDITIONS))
    errors += meta.validate_conditions(conditions, path + ".conditions")
    if device.get("data") is not None:
        errors += common.raw_object(device["data"], path + ".data")
    network, at = device.get("networkData") or {}, path + ".networkData"
    for name, limit in (("interfaceName", 256), ("hardwareAddress", 128)):
        if len(network.get(name) or "") > limit:
            errors.append(field.too_long(f"{at}.{name}", limit))
    return errors + common.unique(network.get("ips") or (), at + ".ips", _MAX_ADDRESSES, lambda _a, _p: [], str)


def _allocation(allocation: Obj, path: str, requests: Requests) -> list[FieldError]:
    devices, at = allocation.get("devices") or {}, path + ".devices"
    errors = common.listed(
        devices.get("results") or (), at + ".results", _MAX_ITEMS, lambda r, p: _result(r, p, requests)
    )
    errors += common.listed(
        devices.get("config") or (), at + ".config", 2 * _MAX_ITEMS, lambda c, p: _allocated_config(c, p, requests)
    )
    if (selector := allocation.get("nodeSelector")) is not None:
        errors += scheduling.validate_node_selector(selector, path + ".nodeSelector")
    return errors


def _result(result: Obj, path: str, requests: Requests) -> list[FieldError]:
    errors = _reference(result.get("request") or "", path + ".request", requests)
    return errors + _location(result, path) + common.binding_conditions(result, path) + _share(result, path)


def _allocated_config(config: Obj, path: str, requests: Requests) -> list[FieldError]:
    errors: list[FieldError] = []
    source = config.get("source") or ""
    if not source:
        errors.append(field.required(path + ".source"))
    elif source not in ("FromClaim", "FromClass"):
        errors.append(field.not_supported(path + ".source", source, ["FromClaim", "FromClass"]))
    return errors + _configuration(config, path, requests)
