"""Options of the audit webhook that could send nothing are refused at start, in the original's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apimachinery.clock import ControlledClock
from apiserver import audit
from apiserver.audit.config import Config
from serving.metrics import Metrics


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"audit_webhook_batch_throttle_qps": 0}, "throttle QPS 0"),
        ({"audit_webhook_batch_throttle_burst": -1}, "throttle burst -1"),
        ({"audit_webhook_batch_buffer_size": 0}, "buffer size 0"),
        ({"audit_webhook_batch_max_size": 0}, "max batch size 0"),
    ],
)
def test_batches_that_could_never_be_sent_are_refused(tmp_path: Path, options: dict[str, Any], what: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
    config = Config(audit_policy_file=policy, audit_webhook_config_file=tmp_path / "webhook.yaml", **options)
    with pytest.raises(ValueError, match=f"invalid audit batch webhook {what}, must be a positive number"):
        audit.build(config, ControlledClock(), Metrics())
