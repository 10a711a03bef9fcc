"""Requests that need no people: nodes' own, after asking whether their authors may have them approved."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import ClassVar

from apimachinery import meta
from apimachinery.errors import ApiError
from client.resources import (
    CERTIFICATE_SIGNING_REQUESTS,
    ENDPOINT_SLICES,
    NODES,
    SERVICES,
    SUBJECT_ACCESS_REVIEWS,
)
from controllers.base import EVENTS_RULE, Controller, Result, Rule, copy, ignoring_absence
from controllers.certificates import servingnames
from controllers.certificates.requests import (
    ACCOUNT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    RULES,
    Obj,
    Refused,
    Request,
    check,
    check_kubelet_client,
    condition,
    has_condition,
    read_request,
)


class _Approver(Controller):
    """Approves requests after asking whether their authors may have them approved."""

    async def may(self, spec: Obj, subresource: str) -> bool:
        """Whether the requester may have such requests approved."""
        review = {
            "spec": {
                "user": spec.get("username") or "",
                "uid": spec.get("uid") or "",
                "groups": spec.get("groups") or [],
                "extra": spec.get("extra") or {},
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "resource": "certificatesigningrequests",
                    "verb": "create",
                    "subresource": subresource,
                    "version": "*",
                },
            },
            "metadata": {},
        }
        answer = await self.client.create(SUBJECT_ACCESS_REVIEWS, review)
        return bool(answer["status"].get("allowed"))

    async def approve(self, request: Obj, message: str) -> None:
        approved = condition("Approved", "AutoApproved", message, self.clock)
        changed = copy(request)
        changed.setdefault("status", {})["conditions"] = [*meta.conditions(request), approved]
        await ignoring_absence(self.client.update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource="approval"))


class ApprovingController(_Approver):
    name = "certificatesigningrequest-approving-controller"
    aliases = ("csrapproving",)
    source = "csrapproving"
    account = ACCOUNT
    rules: ClassVar[Sequence[Rule]] = RULES

    def setup(self) -> None:
        self._requests = self.watch_own(CERTIFICATE_SIGNING_REQUESTS)

    async def reconcile(self, key: str) -> Result | None:
        request = self._requests.get(key)
        if request is None or has_condition(request, "Approved", "Denied", "Failed"):
            return None
        spec = request["spec"]
        if spec["signerName"] != KUBELET_CLIENT or (request.get("status") or {}).get("certificate"):
            return None
        try:
            parsed, _ = await asyncio.to_thread(read_request, base64.b64decode(spec["request"]))
            check_kubelet_client(parsed, list(spec.get("usages") or ()))
        except (ValueError, Refused):
            return None  # not a kubelet's: for people to decide
        for subresource, message in (
            ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
            ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
        ):
            if subresource == "selfnodeclient" and spec.get("username") != parsed.common_name:
                continue
            if await self.may(spec, subresource):
                await self.approve(request, message)
                return None
        return None


class ServingApprovingController(_Approver):
    """Approves the serving certificates of nodes that joined with a token, for the names and addresses of their Node objects.

    The original leaves them to people. So does this one until somebody lets nodes join: its role, and the right of nodes
    to be approved (certificatesigningrequests/selfnodeserver), come with the first `steersman token create`.
    """

    name = "kubelet-serving-approving-controller"
    source = "kubelet-serving-approver"
    rules: ClassVar[Sequence[Rule]] = (
        Rule(("certificates.k8s.io",), ("certificatesigningrequests",), ("get", "list", "watch")),
        Rule(("certificates.k8s.io",), ("certificatesigningrequests/approval",), ("update",)),
        Rule(("authorization.k8s.io",), ("subjectaccessreviews",), ("create",)),
        Rule(("",), ("nodes",), ("get", "list", "watch")),
        EVENTS_RULE,
    )

    def setup(self) -> None:
        self._requests = self.watch_own(CERTIFICATE_SIGNING_REQUESTS)
        self._nodes = self.watch(NODES, updated=lambda old, new: self._look_again(new), added=self._look_again)
        self._services, self._slices = (
            self.watch(resource, namespace="default", field_selector="metadata.name=kubernetes")
            for resource in (SERVICES, ENDPOINT_SLICES)
        )

    def _look_again(self, node: Obj) -> None:
        """A request may come before the Node tells its addresses."""
        for request in self._requests.list():
            if request["spec"].get("username") == f"system:node:{meta.name(node)}":
                self.enqueue_object(request)

    def _names_only_itself(self, request: Request) -> bool:
        servers = servingnames.api_server_addresses([*self._services.list(), *self._slices.list()])
        return servingnames.only_its_own(request, self._nodes.list(), servers)

    async def reconcile(self, key: str) -> Result | None:
        request = self._requests.get(key)
        if request is None or has_condition(request, "Approved", "Denied", "Failed"):
            return None
        spec = request["spec"]
        if spec["signerName"] != KUBELET_SERVING:
            return None
        try:
            parsed, _ = await asyncio.to_thread(read_request, base64.b64decode(spec["request"]))
            check(KUBELET_SERVING, parsed, list(spec.get("usages") or ()))
        except (ValueError, Refused):
            return None
        if spec.get("username") != parsed.common_name or not self._names_only_itself(parsed):
            return None
        try:
            if await self.may(spec, "selfnodeserver"):
                await self.approve(request, "Auto approving kubelet serving certificate after SubjectAccessReview.")
        except ApiError as error:
            if error.reason != "Forbidden":  # nobody has let nodes join
                raise
        return None
