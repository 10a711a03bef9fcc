"""Kinds of the group flowcontrol.apiserver.k8s.io."""

from __future__ import annotations

from apiserver.kinds.flowcontrol.flowschema import FlowSchema
from apiserver.kinds.flowcontrol.prioritylevelconfiguration import PriorityLevelConfiguration
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    FlowSchema(),
    PriorityLevelConfiguration(),
)
