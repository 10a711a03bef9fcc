"""CronJobs."""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.kinds.batch.cronjob import CronJob
from tests.support.kindtest import KindTester, changed

GOOD: dict[str, Any] = {
    "metadata": {"name": "c"},
    "spec": {
        "schedule": "*/5 * * * *",
        "jobTemplate": {
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
        },
    },
}
tester = KindTester(CronJob())


def test_defaults() -> None:
    spec = tester.create(GOOD).obj["spec"]
    assert (spec["concurrencyPolicy"], spec["suspend"]) == ("Allow", False)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 1)


@pytest.mark.parametrize(
    ("edits", "errors"),
    [
        ({"spec.schedule": "TZ=UTC * * * * *"}, ["spec.schedule: Invalid value"]),
        ({"spec.schedule": "61 * * * *"}, ["spec.schedule: Invalid value"]),
        ({"spec.schedule": "@hourly", "spec.timeZone": "Europe/Paris"}, []),
        ({"spec.timeZone": "Mars/Olympus"}, ["spec.timeZone: Invalid value"]),
        ({"spec.timeZone": "Local"}, ["spec.timeZone: Invalid value"]),
        ({"spec.concurrencyPolicy": "Maybe"}, ["spec.concurrencyPolicy: Unsupported value"]),
        ({"metadata.name": "x" * 53}, ["metadata.name: Invalid value"]),
        (
            {"spec.jobTemplate.spec.manualSelector": True},
            ["spec.jobTemplate.spec.manualSelector: Unsupported value"],
        ),
    ],
)
def test_faults(edits: dict[str, Any], errors: list[str]) -> None:
    found = tester.create(changed(GOOD, edits)).errors
    assert [":".join(text.split(":")[:2]) for text in found] == errors


def test_a_bad_schedule_stays_when_it_is_not_touched() -> None:
    old = tester.create(changed(GOOD, {"spec.schedule": "TZ=UTC * * * * *"})).obj
    assert tester.update(changed(GOOD, {"spec.schedule": "TZ=UTC * * * * *", "spec.suspend": True}), old).errors == []
