"""Serves what CustomResourceDefinitions define: accepts names, makes kinds, cleans up after deletions.

One worker of the API server, woken by every change of a definition. It does what the original's controllers inside
kube-apiserver do: names are accepted or refused (NamesAccepted), the kind is served, then the definition is Established; a deleted
definition's instances are deleted first (Terminating), then its finalizer goes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from apimachinery import times
from apimachinery.clock import Clock, wait_for
from apimachinery.errors import ApiError, is_reason
from apiserver import offloop
from apiserver.kinds.apiextensions import definition_rules
from apiserver.kinds.apiextensions.customresourcedefinition import CLEANUP_FINALIZER
from apiserver.registry import crd_kind
from apiserver.registry.crd_kind import CustomKind
from apiserver.registry.kind import Kind, NotifyingReader, Obj, Writer

log = logging.getLogger(__name__)

GROUP, PLURAL = "apiextensions.k8s.io", "customresourcedefinitions"
_POLL = 1.0  # seconds between looks at instances that are not gone yet
_RETRY = 5.0  # seconds after a failure that is no conflict


class CustomResources:
    """The worker. serve(new, old) begins to serve a kind in place of another (or None), unserve(kind) ends it."""

    def __init__(
        self,
        reader: NotifyingReader,
        writer: Writer,
        clock: Clock,
        *,
        serve: Callable[[CustomKind, Kind | None], Awaitable[None]],
        unserve: Callable[[Kind], Awaitable[None]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._serve = serve
        self._unserve = unserve
        self._served: dict[str, CustomKind] = {}
        self._names: dict[str, tuple[str, Obj]] = {}  # of every definition: its group, the names it has accepted
        self._pending: dict[str, None] = {}
        self._due: dict[str, float] = {}  # name -> monotonic time at which to look again
        self._wake = asyncio.Event()

    async def start(self) -> None:
        """Serve what is established, before the server is ready; from then on notice changes."""
        self._reader.on_change(GROUP, PLURAL, self._changed)
        for definition in await self._reader.list(GROUP, PLURAL):
            name = definition["metadata"]["name"]
            self._remember(definition)
            if _is_true(definition, "Established"):
                await self._serve_definition(name, definition)
            self._changed(None, name)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wait()
            while self._pending:
                name = next(iter(self._pending))
                del self._pending[name]
                try:
                    await self.sync(name)
                except ApiError as error:
                    if not is_reason(error, "Conflict", "NotFound"):
                        log.warning("custom resource definition %s: %s", name, error)
                        await self._clock.sleep(_RETRY)
                    self._changed(None, name)

    async def _wait(self) -> None:
        """Until there is something pending."""
        if self._due:
            delay = min(self._due.values()) - self._clock.monotonic()
            try:
                await wait_for(self._clock, self._wake.wait(), max(delay, 0))
            except TimeoutError:
                pass
            now = self._clock.monotonic()
            for name in [name for name, moment in self._due.items() if moment <= now]:
                del self._due[name]
                self._pending[name] = None
        else:
            await self._wake.wait()
        self._wake.clear()

    def _changed(self, namespace: str | None, name: str) -> None:
        self._pending[name] = None
        self._wake.set()

    # -- one definition

    async def sync(self, name: str) -> None:
        """Bring what is served, and the definition's status, in line with the definition. ApiError: try again."""
        definition = await self._reader.get(GROUP, PLURAL, None, name)
        if definition is None:
            group, _ = self._names.pop(name, ("", {}))
            kind = self._served.pop(name, None)
            if kind is not None:
                await self._unserve(kind)
            if group:
                self._reconsider(group, name)
            return
        self._remember(definition)
        if crd_kind.is_terminating(definition):
            await self._terminate(name, definition)
            return
        definition = await self._accept_names(definition)
        if not _is_true(definition, "NamesAccepted") and not _is_true(definition, "Established"):
            return
        if not _is_true(definition, "Established") and definition_rules.invalid_bundle(definition):
            if _condition(definition, "Established").get("reason") != "InvalidCABundle":
                told = ("InvalidCABundle", "The conversion webhook CABundle is invalid")
                _set_condition(definition, self._clock, "Established", "False", *told)
                await self._write(definition)
            return
        await self._serve_definition(name, definition)
        if _is_true(definition, "NamesAccepted") and not _is_true(definition, "Established"):
            _set_condition(
                definition,
                self._clock,
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            )
            await self._write(definition)

    def _reconsider(self, group: str, name: str) -> None:
        """Names were freed: look at the other definitions of the group again."""
        for other, (its_group, _) in self._names.items():
            if its_group == group and other != name:
                self._changed(None, other)

    def _remember(self, definition: Obj) -> None:
        accepted = (definition.get("status") or {}).get("acceptedNames") or {}
        self._names[definition["metadata"]["name"]] = definition["spec"]["group"], accepted

    async def _serve_definition(self, name: str, definition: Obj) -> None:
        current = self._served.get(name)
        if current is not None and _same_service(current.definition, definition):
            return
        try:
            # Whatever its size: a definition comes seldom, and its schema may be large.
            kind = await offloop.run(offloop.LARGE + 1, lambda: crd_kind.make(definition))
        except (KeyError, StopIteration, TypeError) as error:
            # A definition that validation let through in another version of this program.
            log.warning("custom resource definition %s cannot be served: %r", name, error)
            return
        await self._serve(kind, current)
        self._served[name] = kind

    # -- names

    async def _accept_names(self, definition: Obj) -> Obj:
        """The definition with its names accepted as far as nobody else has them; written when that changed."""
        spec_names, status = definition["spec"]["names"], definition["status"]
        accepted = status.get("acceptedNames") or {}
        conformant = self._approval(definition)
        if _without_empty(spec_names) == _without_empty(accepted):
            return await self._write(definition) if conformant else definition
        resources, kinds = self._taken(definition)
        names, problem = _accepted(spec_names, accepted, resources, kinds)
        before = _condition(definition, "NamesAccepted")
        reason, message = problem or ("NoConflicts", "no conflicts found")
        wanted = {"status": "False" if problem else "True", "reason": reason, "message": message}
        if names == accepted and all(before.get(key) == value for key, value in wanted.items()):
            return await self._write(definition) if conformant else definition
        status["acceptedNames"] = names
        _set_condition(definition, self._clock, "NamesAccepted", wanted["status"], reason, message)
        if not _is_true(definition, "Established"):
            installing = ("Installing", "the initial names have been accepted")
            refused = ("NotAccepted", "not all names are accepted")
            _set_condition(definition, self._clock, "Established", "False", *(refused if problem else installing))
        written = await self._write(definition)
        self._reconsider(definition["spec"]["group"], definition["metadata"]["name"])
        return written

    def _taken(self, definition: Obj) -> tuple[set[str], set[str]]:
        """(resource names, kinds) that definitions of the group have accepted."""
        resources: set[str] = set()
        kinds: set[str] = set()
        for group, accepted in self._names.values():
            if group != definition["spec"]["group"]:
                continue
            resources |= {accepted.get("plural", ""), accepted.get("singular", ""), *(accepted.get("shortNames") or ())}
            kinds |= {accepted.get("kind", ""), accepted.get("listKind", "")}
        return resources - {""}, kinds - {""}

    def _approval(self, definition: Obj) -> bool:
        """Whether the condition about protected groups changed."""
        if not definition_rules.protected(definition["spec"]["group"]):
            return False
        state, message = definition_rules.approval(definition)
        status = "True" if state == "Approved" else "False"
        reason = {
            "Approved": "ApprovedAnnotation",
            "Bypassed": "UnapprovedAnnotation",
            "Missing": "MissingAnnotation",
            "Invalid": "InvalidAnnotation",
        }[state]
        before = _condition(definition, "KubernetesAPIApprovalPolicyConformant")
        if (before.get("status"), before.get("reason"), before.get("message")) == (status, reason, message):
            return False
        _set_condition(definition, self._clock, "KubernetesAPIApprovalPolicyConformant", status, reason, message)
        return True

    # -- deletion

    async def _terminate(self, name: str, definition: Obj) -> None:
        kind = self._served.get(name)
        if kind is not None:
            kind.terminate()
        finalizers = definition["metadata"].get("finalizers") or []
        if CLEANUP_FINALIZER not in finalizers:
            return
        if _condition(definition, "Terminating").get("reason") != "InstanceDeletionInProgress":
            _set_condition(
                definition,
                self._clock,
                "Terminating",
                "True",
                "InstanceDeletionInProgress",
                "CustomResource deletion is in progress",
            )
            definition = await self._write(definition)
        if kind is None or not _is_true(definition, "Established"):
            outcome = ("NeverEstablished", "resource was never established")
        else:
            if not await self._delete_instances(kind):
                self._later(name)
                return
            outcome = ("InstanceDeletionCompleted", "removed all instances")
        _set_condition(definition, self._clock, "Terminating", "False", *outcome)
        definition = await self._write(definition)
        definition["metadata"]["finalizers"] = [
            finalizer for finalizer in definition["metadata"].get("finalizers") or () if finalizer != CLEANUP_FINALIZER
        ]
        if not definition["metadata"]["finalizers"]:
            del definition["metadata"]["finalizers"]
        await self._writer.update(GROUP, PLURAL, definition)

    async def _delete_instances(self, kind: CustomKind) -> bool:
        """Delete them all; whether none is left (some may wait for their finalizers)."""
        for obj in await self._reader.list(kind.group, kind.plural):
            metadata = obj["metadata"]
            if metadata.get("deletionTimestamp"):
                continue
            try:
                await self._writer.delete(kind.group, kind.plural, metadata.get("namespace"), metadata["name"])
            except ApiError as error:
                if not is_reason(error, "NotFound", "Conflict"):
                    raise
        return not await self._reader.list(kind.group, kind.plural)

    def _later(self, name: str) -> None:
        """Look again in a while: instances wait for their finalizers."""
        self._due[name] = self._clock.monotonic() + _POLL

    # -- writing

    async def _write(self, definition: Obj) -> Obj:
        """Write the definition's status as the server itself; the definition as stored."""
        written = await self._writer.update(GROUP, PLURAL, definition, subresource="status")
        self._remember(written)
        return written


def _condition(definition: Obj, kind: str) -> Obj:
    return definition_rules.condition(definition, kind)


def _is_true(definition: Obj, kind: str) -> bool:
    return _condition(definition, kind).get("status") == "True"


def _set_condition(definition: Obj, clock: Clock, kind: str, status: str, reason: str, message: str) -> None:
    definition_rules.set_condition(definition, times.now(clock), kind, status, reason, message)


def _without_empty(names: Obj) -> Obj:
    return {key: value for key, value in names.items() if value}


def _accepted(wanted: Obj, accepted: Obj, resources: set[str], kinds: set[str]) -> tuple[Obj, tuple[str, str] | None]:
    """(accepted names, (reason, message) of the last conflict)."""
    names = dict(accepted)
    problem: tuple[str, str] | None = None

    def conflict(name: str, taken: set[str]) -> str:
        return f'"{name}" is already in use' if name in taken else ""

    for name, taken, reason in (
        ("plural", resources, "PluralConflict"),
        ("singular", resources, "SingularConflict"),
    ):
        value = wanted.get(name, "")
        text = conflict(value, taken) if value != accepted.get(name, "") else ""
        if text:
            problem = (reason, text)
        else:
            names[name] = value
    mine = accepted.get("shortNames") or []
    found = [conflict(name, resources) for name in wanted.get("shortNames") or () if name not in mine]
    texts = [text for text in found if text]
    if texts:
        problem = ("ShortNamesConflict", texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]")
    elif wanted.get("shortNames"):
        names["shortNames"] = wanted["shortNames"]
    else:
        names.pop("shortNames", None)
    for name, reason in (("kind", "KindConflict"), ("listKind", "ListKindConflict")):
        value = wanted.get(name, "")
        text = conflict(value, kinds) if value != accepted.get(name, "") else ""
        if text:
            problem = (reason, text)
        else:
            names[name] = value
    if wanted.get("categories"):
        names["categories"] = wanted["categories"]
    else:
        names.pop("categories", None)
    return names, problem


def _same_service(old: Obj, new: Obj) -> bool:
    """Whether two states of a definition are served alike."""
    accepted = (new.get("status") or {}).get("acceptedNames")
    # Every change of the spec counts as a generation, and comparing schemas takes long.
    same = all(old["metadata"].get(name) == new["metadata"].get(name) for name in ("uid", "generation"))
    return same and bool(old["status"].get("acceptedNames") == accepted)
