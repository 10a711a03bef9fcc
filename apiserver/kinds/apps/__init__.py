"""Kinds of the group apps."""

from __future__ import annotations

from apiserver.kinds.apps.controllerrevision import ControllerRevision
from apiserver.kinds.apps.daemonset import DaemonSet
from apiserver.kinds.apps.deployment import Deployment
from apiserver.kinds.apps.replicaset import ReplicaSet
from apiserver.kinds.apps.statefulset import StatefulSet
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    ControllerRevision(),
    DaemonSet(),
    Deployment(),
    ReplicaSet(),
    StatefulSet(),
)
