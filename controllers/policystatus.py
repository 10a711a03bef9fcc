"""status.typeChecking of ValidatingAdmissionPolicies: warnings about expressions that do not fit what the policy matches.

A policy is checked once a generation. Schemas come from the API server's OpenAPI documents, which change with the definitions
of custom resources; the declared types of a few kinds are kept for as long as their document says that it is the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar

from apimachinery.cel.schemas import DeclType
from apimachinery.errors import ApiError, is_reason
from client.resources import VALIDATING_ADMISSION_POLICIES
from controllers import discovery, policytypes
from controllers.base import EVENTS_RULE, Controller, Result, Rule
from controllers.policytypes import Gvk, Target

Obj = dict[str, Any]

MANAGER = "validatingadmissionpolicy-status"
_KEPT = 16  # declared types: one of a workload's is about a megabyte


class PolicyStatusController(Controller):
    name = "validatingadmissionpolicy-status-controller"
    aliases = ("validatingadmissionpolicy-status",)
    source = "validatingadmissionpolicy-status-controller"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("admissionregistration.k8s.io",), ("validatingadmissionpolicies/status",), ("get", "patch", "update")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self._policies = self.watch_own(VALIDATING_ADMISSION_POLICIES)
        self._declared: OrderedDict[tuple[str, Gvk], DeclType | None] = OrderedDict()

    async def reconcile(self, key: str) -> Result | None:
        policy = self._policies.get(key)
        if policy is None:
            return None
        generation = policy["metadata"].get("generation") or 0
        if generation <= ((policy.get("status") or {}).get("observedGeneration") or 0):
            return None
        warnings = await self._check(policy)
        checking = {"expressionWarnings": warnings} if warnings else {}
        applied = {
            "apiVersion": VALIDATING_ADMISSION_POLICIES.api_version,
            "kind": VALIDATING_ADMISSION_POLICIES.kind,
            "metadata": {"name": key},
            "status": {"observedGeneration": generation, "typeChecking": checking},
        }
        try:
            await self.client.patch(
                VALIDATING_ADMISSION_POLICIES,
                key,
                applied,
                content_type="apply",
                subresource="status",
                field_manager=MANAGER,
                force=True,
            )
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
        return None

    async def _check(self, policy: Obj) -> list[Obj]:
        served = await discovery.resources(self.client)
        wanted = policytypes.targets_of(policy, served)
        params = policytypes.params_of(policy)
        if not wanted:
            return []
        paths = (await self.client.raw("/openapi/v3")).get("paths") or {}
        known = {gvk: await self._declare(gvk, paths) for gvk in (*wanted, *([params] if params else []))}
        targets = [Target(gvk, found[0]) for gvk in wanted if (found := known[gvk]) is not None]
        own = known.get(params) if params is not None else None
        # Compiling is pure work, and an expression may be long.
        return await asyncio.to_thread(policytypes.check, policy, targets, own[0] if own else None)

    async def _declare(self, gvk: Gvk, paths: Obj) -> tuple[DeclType | None] | None:
        """(the type of the kind's objects,), or None when its schema is not known."""
        where = (paths.get(policytypes.document_path(gvk)) or {}).get("serverRelativeURL")
        if not where:
            return None
        key = (where, gvk)
        if key in self._declared:
            self._declared.move_to_end(key)
            return (self._declared[key],)
        document = await self.client.raw(where)
        schema = await asyncio.to_thread(policytypes.schema_of, document, gvk)
        if schema is None:
            return None
        self._declared[key] = await asyncio.to_thread(policytypes.declared, schema, gvk)
        while len(self._declared) > _KEPT:
            self._declared.popitem(last=False)
        return (self._declared[key],)
