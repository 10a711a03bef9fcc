"""Binding: the body that puts a pod on a node. Not stored; POST bindings equals POST pods/<name>/binding."""

from __future__ import annotations

from apiserver.registry.kind import Kind


class BindingKind(Kind):
    kind = "Binding"
    plural = "bindings"
    verbs = ("create",)
    stored = False


BINDING = BindingKind()
