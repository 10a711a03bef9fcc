"""ResourceQuota: what a namespace's quotas do not leave room for is refused; what they do is booked at once.

Usage is reserved before the object is stored, by compare-and-swap on the quota's status, so that concurrent creates (also
on other API servers) never exceed a quota together. What is reserved and then not stored is given back by the quota
controller, which recounts. Requests of one namespace that come together are booked together: a quota is written once for
all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apimachinery import errors, quantity, quota
from apimachinery.errors import ApiError
from apimachinery.quantity import ResourceList
from apiserver.admission import limitedresources
from apiserver.admission.base import Attributes, Env, Operation, forbidden
from apiserver.registry.kind import Obj
from apiserver.registry.lookup import Lookup

_ATTEMPTS = 4
_TOGETHER = 100  # requests booked in one write
_CLAIMS, _CLASSES = ("resource.k8s.io", "resourceclaims"), ("resource.k8s.io", "deviceclasses")
_FOR_POD = "resource.kubernetes.io/extended-resource-claim"


@dataclass(frozen=True, slots=True)
class _Devices:
    """What the usage of claims of devices depends on; see quota.usage."""

    classes: Mapping[str, str] = field(default_factory=dict)
    charged: Mapping[str, quantity.Quantity] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Request:
    """A request that waits to be booked. left: names of the quotas that it could not be booked in yet."""

    attributes: Attributes
    devices: _Devices
    booked: asyncio.Future[None]
    left: set[str] = field(default_factory=set)

    def fail(self, error: Exception) -> None:
        if not self.booked.done():
            self.booked.set_exception(error)

    def settle(self) -> bool:
        """Whether it is decided, or nobody waits for it any more."""
        if not self.left and not self.booked.done():
            self.booked.set_result(None)
        return self.booked.done()


class Plugin:
    def __init__(self, env: Env) -> None:
        self._quotas = Lookup(env.reader, "", "resourcequotas")
        self._classes = Lookup(env.reader, *_CLASSES)
        self._reader = env.reader
        self._writer = env.writer
        self._limits = limitedresources.load(env.configuration)
        self._waiting: dict[str, list[_Request]] = {}  # by namespace; there while a task books what is in it
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Let what is under way be booked."""
        await asyncio.gather(*self._tasks)

    def handles(self, operation: Operation, group: str, plural: str, subresource: str) -> bool:
        if (
            operation not in ("CREATE", "UPDATE")
            or (group, plural) in quota.IGNORED
            or (group, plural) == ("", "namespaces")
        ):
            return False
        if (group, plural) == ("", "pods"):
            return not subresource or (operation == "UPDATE" and subresource == "resize")
        if (group, plural) == ("", "persistentvolumeclaims"):
            return not subresource or (operation == "UPDATE" and subresource == "status")
        if (group, plural) in (("", "services"), ("resource.k8s.io", "resourceclaims")):
            return not subresource
        return operation == "CREATE" and not subresource

    async def validate(self, a: Attributes) -> None:
        if not a.namespace or a.obj is None or _changes_nothing(a):
            return
        if not self._limits.stated and not await self._quotas.list(a.namespace):
            return
        devices = await self._devices(a) if (a.group, a.plural) == _CLAIMS else _Devices()
        request = _Request(a, devices, asyncio.get_running_loop().create_future())
        waiting = self._waiting.get(a.namespace)
        if waiting is None:
            self._waiting[a.namespace] = [request]
            # A task of its own: the requests are booked even if the client of the first one has left.
            task = asyncio.create_task(self._book(a.namespace), name=f"quotas of {a.namespace}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            waiting.append(request)
        await request.booked

    async def _book(self, namespace: str) -> None:
        """Book what waits in the namespace, until nothing does."""
        while requests := self._waiting[namespace][:_TOGETHER]:
            del self._waiting[namespace][: len(requests)]
            try:
                await self._reserve(namespace, [request for request in requests if not request.booked.done()])
            except Exception as error:  # an edge: it concerns every request, and each tells its own client
                for request in requests:
                    request.fail(error)
        del self._waiting[namespace]

    async def _devices(self, a: Attributes) -> _Devices:
        classes = {}
        for device_class in await self._classes.list():
            extended = (device_class.get("spec") or {}).get("extendedResourceName")
            if extended:
                classes[device_class["metadata"]["name"]] = extended
        return _Devices(classes, await self._charged(a))

    async def _charged(self, a: Attributes) -> quantity.ResourceList:
        """What the pod is charged that the claim was made for because of extended resources that it asks for."""
        meta = (a.obj or {}).get("metadata") or {}
        owners = [owner for owner in meta.get("ownerReferences") or () if owner.get("controller")]
        if (meta.get("annotations") or {}).get(_FOR_POD) != "true" or not owners:
            return {}
        owner = owners[0]
        if (owner.get("kind"), owner.get("apiVersion")) != ("Pod", "v1"):
            return {}
        pod = await self._reader.get("", "pods", a.namespace, owner["name"])
        if pod is None or pod["metadata"].get("uid") != owner.get("uid"):
            return {}
        known = (pod.get("status") or {}).get("extendedResourceClaimStatus")
        if known is not None:
            mine = known.get("resourceClaimName") == meta.get("name")
        else:  # the first claim of the pod is its
            mine = not await self._has_earlier_claim(a, meta, owner["uid"])
        return quota.usage("", "pods", pod, a.clock.time()) if mine else {}

    async def _has_earlier_claim(self, a: Attributes, meta: Obj, pod: str) -> bool:
        def age(meta: Obj) -> tuple[str, str]:
            return meta.get("creationTimestamp") or "", meta.get("name") or ""

        for claim in await self._reader.list(*_CLAIMS, a.namespace):
            other = claim["metadata"]
            owned = any(o.get("controller") and o.get("uid") == pod for o in other.get("ownerReferences") or ())
            if owned and (other.get("annotations") or {}).get(_FOR_POD) == "true" and age(other) < age(meta):
                return True
        return False

    async def _reserve(self, namespace: str, requests: Sequence[_Request]) -> None:
        """Decide each request in the order they came, and write what they book."""
        for attempt in range(_ATTEMPTS):
            quotas = {q["metadata"]["name"]: q for q in await self._reader.list("", "resourcequotas", namespace)}
            dirty: dict[str, list[_Request]] = {}
            for request in requests:
                for name in self._decide(request, quotas, first=not attempt):
                    dirty.setdefault(name, []).append(request)
            for name, booking in dirty.items():
                try:
                    await self._writer.update("", "resourcequotas", quotas[name], subresource="status")
                except ApiError as error:
                    again = errors.is_reason(error, "Conflict", "NotFound") and attempt < _ATTEMPTS - 1
                    for request in booking:
                        if again:
                            request.left.add(name)
                        else:
                            request.fail(error)
            requests = [request for request in requests if not request.settle()]
            if not requests:
                return

    def _decide(self, request: _Request, quotas: Mapping[str, Obj], *, first: bool) -> list[str]:
        """Book the request in the quotas that concern it, and that it is not booked in yet; their names. Refusals go to it."""
        a = request.attributes
        try:
            if first and self._limits.stated:
                self._cover(a, list(quotas.values()), request.devices)
            booked = {
                name: used
                for name, resource_quota in quotas.items()
                if (first or name in request.left) and (used := _check(a, resource_quota, request.devices)) is not None
            }
        except ApiError as error:
            request.fail(error)
            return []
        request.left.clear()
        if a.dry_run:
            return []
        for name, used in booked.items():
            quotas[name]["status"]["used"] = used
        return list(booked)

    def _cover(self, a: Attributes, quotas: Sequence[Obj], devices: _Devices) -> None:
        """Refuses what is limited by configuration and not covered by a quota; a request that adds nothing needs none."""
        restricted: set[str] = set()
        concerned = []
        for resource_quota in quotas:
            names = _concerns(a, resource_quota, devices)
            if names:
                restricted.update(names)
            if names is not None:
                concerned.append(resource_quota)
        added = [_delta(a, resource_quota, devices) for resource_quota in concerned] or [_delta(a, None, devices)]
        if any(amount for delta in added for amount in delta.values()):
            self._limits.check(a, _usage(a, a.obj or {}, devices), restricted, quotas)


def _changes_nothing(a: Attributes) -> bool:
    """Whether it is an update of a pod that leaves it among those that end by themselves, or among the others."""
    if (a.group, a.plural, a.operation, a.subresource) != ("", "pods", "UPDATE", ""):
        return False
    return quota.is_terminating(a.obj or {}) == quota.is_terminating(a.old or {})


def _check(a: Attributes, resource_quota: Obj, devices: _Devices) -> dict[str, str] | None:
    """What the quota's usage becomes; None when the request does not concern it. Raises 403 when there is no room."""
    status = resource_quota.get("status") or {}
    hard = quantity.parse_list(status.get("hard"))
    if _concerns(a, resource_quota, devices) is None:
        return None
    quota_name = resource_quota["metadata"]["name"]
    used = quantity.parse_list(status.get("used"))
    requested = {name: amount for name, amount in _delta(a, resource_quota, devices).items() if name in hard and amount}
    if not requested:
        return None
    total: ResourceList = dict(used)
    quantity.add_list(total, requested)
    exceeded = [name for name in requested if hard[name] < total[name]] if a.subresource != "status" else []
    if exceeded:
        raise forbidden(
            a,
            f"exceeded quota: {quota_name}, requested: {_part(requested, exceeded)}, "
            f"used: {_part(used, exceeded)}, limited: {_part(hard, exceeded)}",
        )
    return quantity.draw_list(total)


def _concerns(a: Attributes, resource_quota: Obj, devices: _Devices) -> list[str] | None:
    """The names that the quota restricts of what the request uses; None when it does not concern it. Raises 403 when that cannot
    be told."""
    hard = (resource_quota.get("status") or {}).get("hard") or {}
    obj = a.obj or {}
    names = quota.matching_names(a.group, a.plural, hard, devices.classes)
    if not names or not quota.matches_scopes(resource_quota, a.group, a.plural, obj):
        return None
    quota_name = resource_quota["metadata"]["name"]
    if (a.group, a.plural) == ("", "pods"):
        missing = quota.unstated(names, obj)
        if missing:
            raise forbidden(a, f"failed quota: {quota_name}: must specify {missing}")
    used = (resource_quota.get("status") or {}).get("used") or {}
    if any(name not in used for name in names):
        raise forbidden(a, f"status unknown for quota: {quota_name}, resources: {','.join(sorted(names))}")
    return names


def _usage(a: Attributes, obj: Obj, devices: _Devices) -> ResourceList:
    return quota.usage(a.group, a.plural, obj, a.clock.time(), classes=devices.classes, charged=devices.charged)


def _delta(a: Attributes, resource_quota: Obj | None, devices: _Devices) -> ResourceList:
    """What the request adds: all the object uses, or on an update what it uses more than before (in the quota's scopes)."""

    def usage(obj: Obj) -> ResourceList:
        return _usage(a, obj, devices)

    used = usage(a.obj or {})
    negative = sorted(name for name, amount in used.items() if amount.sign() < 0)
    if negative:
        raise forbidden(a, f"quota usage is negative for resource(s): {','.join(negative)}")
    if a.operation == "UPDATE":
        if a.old is None:
            raise forbidden(a, "unable to get previous usage since prior version of object was not found")
        if resource_quota is None or quota.matches_scopes(resource_quota, a.group, a.plural, a.old):
            return quota.subtract(used, usage(a.old))
    return used


def _part(resources: Mapping[str, quantity.Quantity], names: list[str]) -> str:
    return quota.draw({name: resources[name] for name in names if name in resources})
