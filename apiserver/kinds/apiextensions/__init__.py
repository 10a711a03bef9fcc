"""Kinds of the group apiextensions.k8s.io."""

from __future__ import annotations

from apiserver.kinds.apiextensions.customresourcedefinition import CustomResourceDefinition
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (CustomResourceDefinition(),)
