"""The audit event of one request: audit.k8s.io/v1 Event, filled in while the request is served, encoded at each stage.

What the level does not allow never gets in: objects at levels Request and RequestResponse alone, and nothing at any level
of credentials, which are in no field.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any

import orjson

from apimachinery import times
from apimachinery.clock import Clock
from apiserver import offloop
from apiserver.audit.policy import LEVELS, METADATA, REQUEST, REQUEST_RESPONSE, Recorded
from apiserver.authn.user import User
from apiserver.filters.base import Request

_AGENT_LIMIT = 1024
_AGENT_END = "...TRUNCATED"

Obj = dict[str, Any]

PATCHES = (
    "patch.webhook.admission.k8s.io/"  # annotations that hold a webhook's patch: for events that hold requests, too
)


class AuditEvent:
    """One request's. Handlers know it as request.audit."""

    __slots__ = ("_clock", "_drop", "_fields", "_request", "level", "omitted", "status")

    def __init__(self, request: Request, recorded: Recorded, clock: Clock) -> None:
        self._request = request
        self._clock = clock
        self._drop = recorded.drop_managed_fields
        self.level = recorded.level
        self.omitted = recorded.omitted
        self.status: Obj | None = None
        received = times.format_micro_time(clock.time() - (clock.monotonic() - request.received))
        self._fields: Obj = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": LEVELS[recorded.level],
            "auditID": request.audit_id,
            "stage": "",
            "requestURI": _uri(request),
            "verb": request.info.verb,
            "user": _user(request.authenticated),
            "sourceIPs": source_ips(request),
            "userAgent": _agent(request),
            "requestReceivedTimestamp": received,
            "stageTimestamp": received,
        }
        info = request.info
        if info.is_resource:
            reference = {
                "resource": info.resource,
                "namespace": info.namespace,
                "name": info.name,
                "apiGroup": info.group,
                "apiVersion": info.version,
                "subresource": info.subresource,
            }
            self._fields["objectRef"] = {name: value for name, value in reference.items() if value}

    @property
    def wants_request(self) -> bool:
        return self.level >= REQUEST

    def request_object(self, obj: Obj) -> None:
        """The decoded object of the request, as it is now."""
        meta = obj.get("metadata") if isinstance(obj.get("metadata"), dict) else None
        reference = self._fields.get("objectRef")
        if reference is not None and meta:
            for name in ("namespace", "name", "uid", "resourceVersion"):
                if meta.get(name) and not reference.get(name):
                    reference[name] = meta[name]
        if self.level >= REQUEST:
            if self._drop and meta and "managedFields" in meta:
                kept = {name: value for name, value in meta.items() if name != "managedFields"}
                obj = {**obj, "metadata": kept}
            self._fields["requestObject"] = orjson.Fragment(orjson.dumps(obj))

    def request_patch(self, patch: Any) -> None:
        """The patch document of the request."""
        if self.level >= REQUEST:
            self._fields["requestObject"] = orjson.Fragment(orjson.dumps(patch))

    async def response_object(self, raw: bytes) -> None:
        """The JSON of the answer."""
        if self.level < REQUEST_RESPONSE or not raw:
            return
        if self._drop and b'"managedFields"' in raw:
            raw = await offloop.run(len(raw), lambda: _without_managed_fields(raw))
        self._fields["responseObject"] = orjson.Fragment(raw.rstrip())

    def impersonated(self) -> None:
        """Note who the request acts as."""
        request = self._request
        if request.user is not request.authenticated:
            self._fields["impersonatedUser"] = _user(request.user)

    def constrained(self, verb: str) -> None:
        """The right by which the request acts as somebody else, where it is one of the narrow ones."""
        self._fields["authenticationMetadata"] = {"impersonationConstraint": verb}

    def unauthenticated(self) -> None:
        """Nobody knows who sent the request."""
        self._fields["user"] = {}

    def encode(self, stage: str) -> bytes:
        """The event as it is at this stage."""
        fields = self._fields
        fields["stage"] = stage
        if stage != "RequestReceived":
            fields["stageTimestamp"] = times.format_micro_time(self._clock.time())
        if self.status is not None:
            fields["responseStatus"] = self.status
        annotations = self._request.annotations
        if annotations and self.level < REQUEST:
            annotations = {key: value for key, value in annotations.items() if not key.startswith(PATCHES)}
        if annotations:
            fields["annotations"] = annotations
        return orjson.dumps(fields)

    def annotate(self, key: str, value: str) -> None:
        self._request.annotations.setdefault(key, value)


def truncated(line: bytes) -> bytes:
    """An encoded event without the objects of request and response."""
    event = orjson.loads(line)
    event.pop("requestObject", None)
    event.pop("responseObject", None)
    event.setdefault("annotations", {})["audit.k8s.io/truncated"] = "true"
    return orjson.dumps(event)


def _uri(request: Request) -> str:
    return f"{request.raw_path}?{request.raw_query}" if request.raw_query else request.raw_path


_KEPT_USERS = 1024
_users: dict[int, tuple[User, orjson.Fragment]] = {}  # users are shared objects: the same are seen again and again


def _user(user: User) -> orjson.Fragment:
    known = _users.get(id(user))
    if known is None or known[0] is not user:
        if len(_users) >= _KEPT_USERS:
            _users.clear()
        known = _users[id(user)] = (user, orjson.Fragment(orjson.dumps(_user_info(user))))
    return known[1]


def _user_info(user: User) -> Obj:
    shown: Obj = {"username": user.name}
    if user.uid:
        shown["uid"] = user.uid
    if user.groups:
        shown["groups"] = list(user.groups)
    if user.extra:
        shown["extra"] = {name: list(values) for name, values in user.extra.items()}
    return shown


def _agent(request: Request) -> str:
    agent = request.headers.get("User-Agent", "")
    return agent if len(agent) <= _AGENT_LIMIT else agent[:_AGENT_LIMIT] + _AGENT_END


def source_ips(request: Request) -> list[str]:
    """X-Forwarded-For, X-Real-Ip, then who connected; what is no address is left out."""
    headers = request.headers
    found = []
    if "X-Forwarded-For" in headers:
        found = [ip for part in headers["X-Forwarded-For"].split(",") if (ip := _address(part))]
    if "X-Real-Ip" in headers and (ip := _address(headers["X-Real-Ip"])) and ip not in found:
        found.append(ip)
    remote = _address(request.remote)
    if remote and (not found or found[-1] != remote):
        found.append(remote)
    return found


@lru_cache(1024)
def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ""


def _without_managed_fields(raw: bytes) -> bytes:
    document = orjson.loads(raw)
    objects = [document, *(document.get("items") or ())]
    objects += [row.get("object") or {} for row in document.get("rows") or () if isinstance(row, dict)]
    for obj in objects:
        meta = obj.get("metadata") if isinstance(obj, dict) else None
        if isinstance(meta, dict):
            meta.pop("managedFields", None)
    return orjson.dumps(document)


__all__ = ["METADATA", "AuditEvent", "source_ips", "truncated"]
