"""Every controller has a role, and it grants what the controller declares that it needs."""

from typing import Any

import pytest

from apiserver.authz.rules import compile_rules, missing
from apiserver.bootstrap import rbac, roles
from controllers import CONTROLLERS
from controllers.base import OWN_ACCOUNT, Controller
from steersman import joining


def granted(account: str) -> list[dict[str, Any]]:
    """The rules of an account's roles: the bootstrap ones, or those that come with the first token to join with."""
    if account == OWN_ACCOUNT:
        return rbac.parse_rules(roles.CLUSTER_ROLES["system:kube-controller-manager"][0])
    if account in roles.CONTROLLER_ROLES:
        return rbac.parse_rules(roles.CONTROLLER_ROLES[account])
    local = [text for (_, name), text in roles.ROLES.items() if name == f"system:controller:{account}"]
    if local:
        return [rule for text in local for rule in rbac.parse_rules(text)]
    joined = [obj for _, obj in joining.objects("", b"") if obj["metadata"]["name"] == f"steersman:{account}"]
    return list(joined[0]["rules"])


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda cls: cls.name)
def test_the_role_grants_what_is_needed(controller: type[Controller]) -> None:
    account = controller.account or controller.source
    needed = [rule.to_policy() for rule in controller.rules]
    assert missing(compile_rules(granted(account)), needed) == []
