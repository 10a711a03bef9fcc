"""Kinds of the group apiregistration.k8s.io."""

from __future__ import annotations

from apiserver.kinds.apiregistration.apiservice import APIService
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (APIService(),)
