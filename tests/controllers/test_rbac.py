"""Every controller has a bootstrap role, and it grants what the controller declares that it needs."""

import pytest

from apiserver.authz.rules import compile_rules, missing
from apiserver.bootstrap import rbac, roles
from controllers import CONTROLLERS
from controllers.base import OWN_ACCOUNT, Controller


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda cls: cls.name)
def test_the_role_grants_what_is_needed(controller: type[Controller]) -> None:
    account = controller.account or controller.source
    if account == OWN_ACCOUNT:
        granted = rbac.parse_rules(roles.CLUSTER_ROLES["system:kube-controller-manager"][0])
    else:
        granted = rbac.parse_rules(roles.CONTROLLER_ROLES[account])
    needed = [rule.to_policy() for rule in controller.rules]
    assert missing(compile_rules(granted), needed) == []
