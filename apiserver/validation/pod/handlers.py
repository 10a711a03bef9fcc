"""Probes, lifecycle hooks and the handlers they share (exec, HTTP, TCP, gRPC, sleep)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import field
from apimachinery.field import FieldError
from apiserver.validation import names

Obj = Mapping[str, Any]

_NOT_NEGATIVE = "must be greater than or equal to 0"
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_SCHEMES = ("HTTP", "HTTPS")
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def port_number_or_name(port: Any, path: str) -> list[FieldError]:
    """An IntOrString that names a port."""
    if isinstance(port, str):
        return [field.invalid(path, port, text) for text in names.port_name(port)]
    return [field.invalid(path, port, text) for text in names.port_number(port)]


def validate_handler(handler: Obj, grace: int | None, path: str, known: tuple[str, ...]) -> list[FieldError]:
    """Exactly one of the known actions. grace: the pod's termination grace period, None when it has none."""
    errors: list[FieldError] = []
    found = False
    for name in known:
        action = handler.get(name)
        if action is None:
            continue
        if found:
            errors.append(field.forbidden(f"{path}.{name}", "may not specify more than 1 handler type"))
            continue
        found = True
        at = f"{path}.{name}"
        if name == "exec":
            if not action.get("command"):
                errors.append(field.required(at + ".command"))
        elif name == "httpGet":
            errors += _http_get(action, at)
        elif name == "sleep":
            errors += _sleep(action, grace, at)
        else:
            port = action.get("port", 0)
            errors += port_number_or_name(port, at + ".port")
    if not found:
        errors.append(field.required(path, "must specify a handler type"))
    return errors


def _http_get(action: Obj, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not action.get("path"):
        errors.append(field.required(path + ".path"))
    errors += port_number_or_name(action.get("port", 0), path + ".port")
    scheme = action.get("scheme") or ""
    if scheme not in _SCHEMES:
        errors.append(field.not_supported(path + ".scheme", scheme, _SCHEMES))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        errors += [field.invalid(path + ".httpHeaders", name, text) for text in names.http_header_name(name)]
    return errors


def _sleep(action: Obj, grace: int | None, path: str) -> list[FieldError]:
    seconds = action.get("seconds") or 0
    if grace is None or 0 <= seconds <= grace:
        return []
    text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
    return [field.invalid(path, seconds, text)]


def validate_probe(probe: Obj, name: str, grace: int | None, path: str) -> list[FieldError]:
    """A container's probe; name: its field, by which the rules differ. path: that of the container."""
    path = f"{path}.{name}"
    errors = validate_handler(probe, grace, path, _PROBE_HANDLERS)
    for number in _NUMBERS:
        value = probe.get(number) or 0
        if value < 0:
            errors.append(field.invalid(f"{path}.{number}", value, _NOT_NEGATIVE))
    own_grace = probe.get("terminationGracePeriodSeconds")
    at = path + ".terminationGracePeriodSeconds"
    if own_grace is not None and own_grace <= 0:
        errors.append(field.invalid(at, own_grace, "must be greater than 0"))
    if name == "readinessProbe":
        if own_grace is not None:
            errors.append(field.invalid(at, own_grace, "must not be set for readinessProbes"))
    elif (threshold := probe.get("successThreshold") or 0) != 1:
        errors.append(field.invalid(path + ".successThreshold", threshold, "must be 1"))
    return errors


def validate_lifecycle(lifecycle: Obj, grace: int | None, path: str, os: Obj | None) -> list[FieldError]:
    """path: that of the lifecycle. os: spec.os."""
    errors: list[FieldError] = []
    for name in ("postStart", "preStop"):
        if (handler := lifecycle.get(name)) is not None:
            errors += validate_handler(handler, grace, f"{path}.{name}", _HOOK_HANDLERS)
    if (signal := lifecycle.get("stopSignal")) is not None:
        errors += _stop_signal(signal, path + ".stopSignal", os)
    return errors


_WINDOWS_SIGNALS = ("SIGKILL", "SIGTERM")
_LINUX_SIGNAL_NAMES = """
    ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP
    TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX
"""
_LINUX_SIGNALS = (
    *("SIG" + name for name in _LINUX_SIGNAL_NAMES.split()),
    *(f"SIGRTMIN+{number}" for number in range(1, 16)),
    *(f"SIGRTMAX-{number}" for number in range(1, 15)),
)


def _stop_signal(signal: str, path: str, os: Obj | None) -> list[FieldError]:
    if os is None:
        return [field.forbidden(path, "may not be set for containers with empty `spec.os.name`")]
    allowed = {"windows": _WINDOWS_SIGNALS, "linux": _LINUX_SIGNALS}.get(os.get("name") or "")
    if allowed is not None and signal not in allowed:
        return [field.not_supported(path, signal, sorted(allowed))]
    return []
