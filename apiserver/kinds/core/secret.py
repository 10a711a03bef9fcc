"""Secret: like a ConfigMap, for sensitive bytes; its type demands certain keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from apimachinery import field
from apimachinery.clock import Clock
from apimachinery.field import FieldError
from apiserver.kinds import cells
from apiserver.kinds.core import secret_tls
from apiserver.kinds.core.config_map import SIZE_LIMIT, decoded_size, validate_frozen, validate_key
from apiserver.registry.kind import AGE_COLUMN, NAME_COLUMN, Column, Ctx, Kind, Obj
from apiserver.validation import meta
from openapi import jsontext

ACCOUNT_ANNOTATION = "kubernetes.io/service-account.name"
OPAQUE = "Opaque"
TLS = "kubernetes.io/tls"
_REDACTED = "<secret contents redacted>"

Check = Callable[[Obj], list[FieldError]]


class SecretKind(Kind):
    kind = "Secret"
    plural = "secrets"
    revalidates_metadata = 1
    columns = (NAME_COLUMN, Column("Type", doc="type"), Column("Data", doc="data"), AGE_COLUMN)

    def default(self, obj: Obj, version: str) -> None:
        texts = obj.pop("stringData", None)
        if texts:
            data = obj["data"] = obj.get("data") or {}
            data.update((key, base64.b64encode(text.encode()).decode()) for key, text in texts.items())
        obj["type"] = obj.get("type") or OPAQUE

    def validate(self, ctx: Ctx, obj: Obj) -> list[FieldError]:
        data = obj.get("data") or {}
        errors: list[FieldError] = []
        for key in data:
            errors += validate_key(key, "data")
        if decoded_size(data) > SIZE_LIMIT:
            errors.append(field.too_long("data", SIZE_LIMIT))
        check = _TYPES.get(obj.get("type") or OPAQUE)
        return errors + check(obj) if check else errors

    def validate_update(self, ctx: Ctx, obj: Obj, old: Obj) -> list[FieldError]:
        errors = meta.validate_immutable(obj.get("type"), old.get("type"), "type")
        return errors + validate_frozen(obj, old, "data") + self.validate(ctx, obj)

    def warn(self, ctx: Ctx, obj: Obj, old: Obj | None) -> list[str]:
        if obj.get("type") != TLS:
            return []
        data = obj.get("data") or {}
        problem = secret_tls.key_pair_error(*(base64.b64decode(data.get(key) or "") for key in ("tls.crt", "tls.key")))
        return [problem] if problem else []

    def selectable_fields(self, obj: Obj) -> dict[str, str]:
        return {"type": obj.get("type", "")}

    def cells(self, obj: Obj, clock: Clock) -> list[Any]:
        name = obj["metadata"].get("name", "")
        return [name, obj.get("type", ""), len(obj.get("data") or ()), cells.age(obj, clock)]


def _token(secret: Obj) -> list[FieldError]:
    if (secret["metadata"].get("annotations") or {}).get(ACCOUNT_ANNOTATION):
        return []
    return [field.required(f"metadata.annotations[{ACCOUNT_ANNOTATION}]")]


def _json_object(key: str) -> Check:
    """The value of the key is a JSON object."""

    def check(secret: Obj) -> list[FieldError]:
        path, value = f"data[{key}]", (secret.get("data") or {}).get(key)
        if value is None:
            return [field.required(path)]
        text = base64.b64decode(value).decode(errors="replace")
        problem = jsontext.error(text) or _type_problem(json.loads(text))
        return [field.invalid(path, _REDACTED, problem)] if problem else []

    return check


def _type_problem(value: Any) -> str:
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, bool):
        word = "bool"
    elif isinstance(value, str):
        word = "string"
    else:
        word = "array" if isinstance(value, list) else "number"
    return f"json: cannot unmarshal {word} into Go value of type map[string]interface {{}}"


def _basic_auth(secret: Obj) -> list[FieldError]:
    """One of both is enough; when both are missing, both are named."""
    data = secret.get("data") or {}
    if "username" in data or "password" in data:
        return []
    return [field.required("data[username]"), field.required("data[password]")]


def _ssh(secret: Obj) -> list[FieldError]:
    return [] if (secret.get("data") or {}).get("ssh-privatekey") else [field.required("data[ssh-privatekey]")]


def _tls(secret: Obj) -> list[FieldError]:
    data = secret.get("data") or {}
    return [field.required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]


_TYPES: dict[str, Check] = {
    "kubernetes.io/service-account-token": _token,
    "kubernetes.io/dockercfg": _json_object(".dockercfg"),
    "kubernetes.io/dockerconfigjson": _json_object(".dockerconfigjson"),
    "kubernetes.io/basic-auth": _basic_auth,
    "kubernetes.io/ssh-auth": _ssh,
    TLS: _tls,
}

SECRET = SecretKind()
