"""Every answer is the original's: status code, headers, whole body, watch events in their order."""

from __future__ import annotations

import pytest

from tests.parity import scenario
from tests.parity.client import Client
from tests.parity.runner import Run
from tests.parity.scenario import Scenario

SCENARIOS = scenario.load()


@pytest.mark.parametrize("what", SCENARIOS, ids=[what.name for what in SCENARIOS])
def test_answers_are_the_originals(client: Client, what: Scenario) -> None:
    differences = Run(client, what).differences()
    assert not differences, "\n" + "\n".join(differences)
