"""Every built-in kind, in the order in which discovery lists their groups.

registry and discovery read all_kinds(); a kind is added in its group's KINDS. The import is inside the function, because
kinds import registry.kind and are not needed by those who only want one group.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiserver.registry.kind import Kind


@cache
def all_kinds() -> tuple[Kind, ...]:
    """The core group first, then the groups as kube-apiserver orders them."""
    from apiserver.kinds import (
        admissionregistration,
        apiextensions,
        apiregistration,
        apps,
        authentication,
        authorization,
        autoscaling,
        batch,
        certificates,
        coordination,
        core,
        discovery,
        events,
        flowcontrol,
        networking,
        node,
        policy,
        rbac,
        resource,
        scheduling,
        storage,
    )

    groups = (
        core,
        apiregistration,
        apps,
        events,
        authentication,
        authorization,
        autoscaling,
        batch,
        certificates,
        networking,
        policy,
        rbac,
        storage,
        admissionregistration,
        apiextensions,
        scheduling,
        coordination,
        node,
        discovery,
        resource,
        flowcontrol,
    )
    return tuple(kind for group in groups for kind in group.KINDS)


def __getattr__(name: str) -> tuple[Kind, ...]:
    if name == "ALL_KINDS":
        return all_kinds()
    raise AttributeError(name)
