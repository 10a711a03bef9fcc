"""What auditing can be told, under the names that kube-apiserver's flags have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Mode = Literal["batch", "blocking", "blocking-strict"]


@dataclass(frozen=True, slots=True)
class Config:
    """Each field is the flag of the same name. Files must exist and parse: anything else is an error at start."""

    audit_policy_file: Path | None = None
    # YAML or JSON of kind Policy (audit.k8s.io/v1): what is recorded, and how much of it. None: nothing is.
    audit_log_path: str = ""
    # File that events are appended to as lines of JSON, made with mode 0600; "-": standard output; "": none.
    audit_log_maxage: int = 366
    # Days that rotated files are kept. 0: for ever.
    audit_log_maxbackup: int = 100
    # Rotated files that are kept. 0: all.
    audit_log_maxsize: int = 100
    # Megabytes at which the file is rotated. 0: never.
    audit_log_compress: bool = False
    # Rotated files are compressed with gzip.
    audit_log_mode: Mode = "blocking"
    # blocking: an answer waits until its event is written; blocking-strict: and a request whose event cannot be written
    # is refused; batch: events are written later, and dropped when too many wait.
    audit_log_batch_buffer_size: int = 10000
    # Events that may wait to be written, in mode batch. What waits is written together, at once.
    audit_log_truncate_enabled: bool = False
    # Request and response objects are left out of events that are too large.
    audit_log_truncate_max_event_size: int = 102400
    # Bytes of an event that are too large; an event larger even so is dropped.
    audit_webhook_config_file: Path | None = None
    # Kubeconfig of the service that EventLists are posted to. None: there is none.
    audit_webhook_initial_backoff: float = 10
    # Seconds before a failed batch is sent again; 1.5 times as long each further time, five times in all.
    audit_webhook_mode: Mode = "batch"
    # As --audit-log-mode.
    audit_webhook_batch_buffer_size: int = 10000
    # Events that may wait to be sent.
    audit_webhook_batch_max_size: int = 400
    # Events in one batch.
    audit_webhook_batch_max_wait: float = 30
    # Seconds a batch may wait to be full.
    audit_webhook_batch_throttle_enable: bool = True
    # Batches are sent no faster than the next two allow.
    audit_webhook_batch_throttle_qps: float = 10
    # Batches a second on average.
    audit_webhook_batch_throttle_burst: int = 15
    # Batches at once after a quiet time.
    audit_webhook_truncate_enabled: bool = False
    # As --audit-log-truncate-enabled.
    audit_webhook_truncate_max_event_size: int = 102400
    # As --audit-log-truncate-max-event-size.
    audit_webhook_truncate_max_batch_size: int = 10485760
    # Bytes of one batch.
