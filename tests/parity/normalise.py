"""Values that no two runs share become placeholders, so that whole answers can be compared.

<uuid>, <time>, <microtime>, <clusterIP>, <nodePort>, <age>, <jwt> … in place of such a value; a resourceVersion becomes
`<rv new>` where the object has not been seen at it and `<rv seen>` where it has, so that a write that should have
changed nothing shows. What a scenario's own requests name (a fixed address, port or time) stays as it is. What the
original lists in no order (warnings, causes, managedFields, rules) is sorted. The entries of managedFields are told in a line each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Obj = dict[str, Any]

_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_SERVICE_ADDRESS = re.compile(r"\b10\.96\.\d{1,3}\.\d{1,3}\b")
_AGE = re.compile(r"(?=.)(\d+y)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?")
_NODE_PORT = re.compile(r":(3[0-2]\d{3})/")
_TEXTS = [
    (re.compile(pattern), placeholder)
    for pattern, placeholder in (
        (r"kube-api-access-[a-z0-9]{5}\b", "kube-api-access-<suffix>"),
        (r"(ResourceVersion in record \()\d+", r"\1<rv>"),
        (r"(Too large resource version: )\d+(, current: )\d+", r"\1<rv>\2<rv>"),
        (r"(too old resource version: )\d+( \()\d+", r"\1<rv>\2<rv>"),
        (r"(resourceVersion: (?:Invalid value: )?)\d{2,}", r"\1<rv>"),
        (r'(\\*"resourceVersion\\*":\\*")\d+', r"\1<rv>"),
        (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "<jwt>"),
        (r"x{1000,}", "<pad>"),
        (r"\b[Gg]o1\.\d+[.\d]*", "<go>"),
        (r"(dial tcp [\d.:\[\]]+).*", r"\1 <network error>"),
        (r"\b[0-9a-f]{64}\b", "<hash>"),
    )
]
_ENTRY = {"manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"}
# Controllers inside the server write these too: a version that nobody here has seen tells nothing.
_WRITTEN_BY_OTHERS = re.compile(
    r"/(customresourcedefinitions|apiservices|flowschemas|prioritylevelconfigurations|ipaddresses|servicecidrs)\b"
)


def strings(value: Any) -> Iterator[str]:
    """All keys and leaves, as text."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif value is not None:
        yield str(value)


def entry(managed: Any) -> Any:
    """An entry of managedFields in a line: `Update by parity in v1 of status {"f:status":{}}`; itself if it is unusual."""
    if not isinstance(managed, dict) or set(managed) - {"subresource"} != _ENTRY:
        return managed
    if managed["time"] != "<time>" or managed["fieldsType"] != "FieldsV1":
        return managed
    fields = json.dumps(managed["fieldsV1"], separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    of = f" of {managed['subresource']}" if "subresource" in managed else ""
    return f"{managed['operation']} by {managed['manager']} in {managed['apiVersion']}{of} {fields}"


class Normaliser:
    """One per run of a scenario. requests: everything it sends; variables: shared with the run, which adds captures."""

    def __init__(self, requests: Any, variables: Mapping[str, Any], server_port: int) -> None:
        self.named = set(strings(requests))
        self.named_text = "\n".join(self.named)
        self.variables = variables
        self.server_port = server_port
        self.shown: set[tuple[str, str]] = set()
        self.versions_tell = True

    def answer(self, value: Any, path: str) -> Any:
        """An answer to a request of that path, normalised."""
        self.versions_tell = not _WRITTEN_BY_OTHERS.search(path)
        return self.value(value)

    def value(self, value: Any) -> Any:
        """Any JSON value, normalised."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        made = {self._text(key): self._member(value, key, item) for key, item in value.items()}
        self._order(made)
        return made

    def _text(self, text: str) -> str:
        text = text.replace(self.variables["id"], "${id}")
        for name, value in self.variables.items():
            if name in ("id", "ns") or not isinstance(value, str):
                continue
            if text == value or (len(value) >= 8 and value in text):
                text = text.replace(value, "${" + name + "}")
        text = _UUID.sub(lambda found: self._unless_named(found, "<uuid>"), text)
        text = _TIME.sub(lambda found: self._unless_named(found, "<microtime>" if found[1] else "<time>"), text)
        text = _SERVICE_ADDRESS.sub(lambda found: self._unless_named(found, "<clusterIP>"), text)
        for pattern, placeholder in _TEXTS:
            text = pattern.sub(placeholder, text)
        return text

    def _unless_named(self, found: re.Match[str], placeholder: str) -> str:
        return found[0] if found[0] in self.named_text else placeholder

    def _member(self, holder: Obj, key: str, value: Any) -> Any:
        if isinstance(value, int) and value and str(value) not in self.named:
            if key in ("nodePort", "healthCheckNodePort"):
                return "<nodePort>"
            if key in ("targetPort", "port") and value == self.server_port:
                return "<server port>"
        if not isinstance(value, str) or not value:
            return self.value(value)
        if key == "resourceVersion" and re.fullmatch(r"[1-9]\d*", value) and value not in self.named:
            return self._version(holder, value)
        if key in ("continue", "token"):
            return f"<{key}>"
        if key == "name" and value not in self.named:
            start = holder.get("generateName")
            if start and value.startswith(start[:50]):
                return f"<generated {len(value)} characters>"
        return self.value(value)

    def _version(self, holder: Obj, value: str) -> str:
        if not self.versions_tell or "uid" not in holder:
            return "<rv>"
        pair = (holder["uid"], value)
        state = "seen" if pair in self.shown else "new"
        self.shown.add(pair)
        return f"<rv {state}>"

    def _order(self, made: Obj) -> None:
        if isinstance(made.get("cells"), list):
            made["cells"] = [self._cell(cell) for cell in made["cells"]]
        if isinstance(made.get("warnings"), list):
            made["warnings"].sort()
        causes = made.get("causes")
        if isinstance(causes, list):
            causes.sort(key=lambda cause: [str(cause.get(key, "")) for key in ("field", "reason", "message")])
        for rules in ("resourceRules", "nonResourceRules"):
            if isinstance(made.get(rules), list):
                made[rules].sort(key=lambda rule: json.dumps(rule, sort_keys=True))
        if isinstance(made.get("managedFields"), list):
            made["managedFields"] = sorted(map(entry, made["managedFields"]), key=str)

    def _cell(self, cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        if _AGE.fullmatch(cell):
            return "<age>"
        return _NODE_PORT.sub(lambda found: found[0] if found[1] in self.named else ":<nodePort>/", cell)
