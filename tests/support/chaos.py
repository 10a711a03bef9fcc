"""Requests made of a seed: objects of any kind drawn from its schema with something wrong here and there, odd queries and paths.

The same seed makes the same requests, so that what one run finds another run finds again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from apiserver import kinds
from apiserver.registry.kind import Kind
from openapi.schemas import TypeInfo

Obj = dict[str, Any]

WORDS: tuple[str, ...] = (
    "", "a", "x-1", "default", "*", "/", "a/b", "a/b/c", "A_b.c", "-", ".", "..", "a" * 64, "a." * 130, "é", "\x00", "\ud7ff",
    "²", "٣", "0", "-1", "1e3", "10.0.0.1", "::1", "::ffff:1.2.3.4", "10.0.0.0/8", "fe80::1%eth0", "http", "80", "https://x:99999/y",
    "25%", "101%", "1Gi", "100m", "1e99999", "9" * 400, "9" * 5000, "2020-01-01T00:00:00Z", "0000-99-99T99:99:99Z", "*/5 * * * *",
    "@every 1s", "TZ=x * * * * *", "$(a)", "{.a.b}", ".spec.x", "(", "[a-", "self", "v1", "apps/v1", "ConfigMap", "Always",
    "ClusterIP", "None", "Exists", "In", "kube-system", "true", "null", "IPv4", "TCP", "Recreate", "example.com", "example.com/a",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 80, 65535, 65536, 2**31 - 1, 2**31, -(2**31) - 1, 2**53,
    2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 0.5, 1e300, -0.0, 1.0,
)  # fmt: skip
ANYTHING: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    {"a": []},
    "x",
    1,
    0.1,
    [1, "a"],
)


class Chaos:
    """wrong: how often a value is none that its type asks for."""

    def __init__(self, seed: int, wrong: float = 0.03) -> None:
        self.random = random.Random(seed)
        self.wrong = wrong

    def value(self, info: TypeInfo | None, depth: int = 0) -> Any:
        pick = self.random
        if info is None or pick.random() < self.wrong:
            return pick.choice((pick.choice(ANYTHING), pick.choice(WORDS), pick.choice(NUMBERS)))
        if info.kind == "struct":
            return self._struct(info, depth)
        if info.kind == "list":
            return [self.value(info.elem, depth + 1) for _ in range(pick.choice((0, 1, 1, 2, 3)) if depth < 9 else 0)]
        if info.kind == "map":
            return {pick.choice(WORDS): self.value(info.elem, depth + 1) for _ in range(pick.choice((0, 1, 2)))}
        if info.kind == "any":
            return pick.choice(ANYTHING)
        if info.code in ("i32", "i64", "d"):
            return pick.choice(NUMBERS[:6] if pick.random() < 0.8 else NUMBERS)
        if info.code == "b":
            return pick.random() < 0.5
        if info.code in ("Q", "I") and pick.random() < 0.5:
            return pick.choice(("1", "100m", "2Gi", 1, 80))
        return pick.choice(WORDS)

    def _struct(self, info: TypeInfo, depth: int) -> Obj:
        pick = self.random
        share = 0.75 if depth < 3 else 0.35 if depth < 7 else 0.1
        out = {name: self.value(each.type, depth + 1) for name, each in info.fields.items() if pick.random() < share}
        if pick.random() < self.wrong:
            out[pick.choice(WORDS)] = pick.choice(ANYTHING)
        return out

    def object(self, kind: Kind, version: str, name: str) -> Obj:
        """An object of the kind whose name, kind and apiVersion are usually right."""
        pick = self.random
        obj = self.value(kind.type_info(version))
        if not isinstance(obj, dict):
            return {"metadata": obj}
        if pick.random() < 0.95:
            obj.update(kind=kind.kind, apiVersion=kind.api_version(version))
        if pick.random() < 0.9:
            meta = obj.get("metadata")
            kept = {key: meta[key] for key in meta if pick.random() < 0.2} if isinstance(meta, dict) else {}
            obj["metadata"] = {**kept, "name": name}
        return obj

    def json_patch(self, obj: Obj) -> list[Any]:
        pick = self.random
        operations = []
        for _ in range(pick.choice((1, 2, 5))):
            operation = {
                "op": pick.choice(("add", "remove", "replace", "move", "copy", "test", "x")),
                "path": self.pointer(obj),
                "from": self.pointer(obj),
                "value": self.value(None),
            }
            operations.append({key: value for key, value in operation.items() if pick.random() < 0.95})
        return operations

    def pointer(self, value: Any) -> str:
        pick, out = self.random, ""
        while isinstance(value, dict | list) and value and pick.random() < 0.85:
            if isinstance(value, dict):
                key = pick.choice(sorted(value))
                value = value[key]
            else:
                key = pick.choice(("0", "-", "-1", str(len(value)), "01", "²", "9" * 30))
                value = value[0]
            out += "/" + key.replace("~", "~0").replace("/", "~1")
        return out + pick.choice(("", "", "", "/x", "/0", "/-", "~"))

    def strategic(self, obj: Obj) -> Any:
        """Part of the object with directives put in."""
        pick = self.random

        def walk(value: Any) -> Any:
            if isinstance(value, list):
                items = [walk(item) for item in value if pick.random() < 0.8]
                if pick.random() < 0.1:
                    items.append({"$patch": pick.choice(("delete", "replace", "merge", "x"))})
                return items
            if not isinstance(value, dict):
                return None if pick.random() < 0.1 else value
            out = {key: walk(item) for key, item in value.items() if pick.random() < 0.8}
            if pick.random() < 0.05:
                out["$patch"] = pick.choice(("delete", "replace", "merge", 1))
            if out and pick.random() < 0.1:
                name = pick.choice(sorted(out))
                prefix = pick.choice(("$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"))
                out[prefix + name] = pick.choice((out[name], [], [{"name": "x"}], ["x"], 1))
            return out

        return walk(obj)

    def query(self) -> str:
        """A query string with up to three parameters."""
        pick = self.random
        names = (
            "limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector",
            "timeoutSeconds",
            "allowWatchBookmarks", "sendInitialEvents", "pretty", "dryRun", "fieldManager", "fieldValidation", "force",
            "includeObject",
            "propagationPolicy", "gracePeriodSeconds", "orphanDependents", "timeout", "export", "%zz", "",
        )  # fmt: skip
        values = (
            "1", "0", "-1", "a", "true", "All", "Strict", "Ignore", "Warn", "Exact", "NotOlderThan", "a=b", "a in (b,c)",
            "!a", "a>5",
            "metadata.name=x", "a==b,c!=d", "((", ",", "9" * 30, "9" * 5000, "²",
            "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0",
            "Foreground", "Orphan", "Object", "None", "%ff", "%00", "5s", "1h1h", "x" * 500,
        )  # fmt: skip
        return "&".join(
            f"{pick.choice(names)}={pick.choice(values)}" for _ in range(pick.choice((0, 0, 1, 2, 3)))
        ).replace(" ", "+")

    def body(self, value: Any) -> bytes:
        """The value's JSON, now and then broken."""
        pick = self.random
        raw = json.dumps(value).encode()
        if pick.random() < 0.04:
            at = pick.randrange(len(raw) + 1)
            raw = (
                raw[:at]
                + pick.choice((b"", b"\xff", b"\x00", b"{", b'"', b",", b"\\", b"9" * 400))
                + raw[at + pick.choice((0, 1)) :]
            )
        return raw


def builtin() -> Sequence[tuple[Kind, str]]:
    """Every built-in kind in each of its versions."""
    return [(kind, version) for kind in kinds.all_kinds() for version in kind.versions]
