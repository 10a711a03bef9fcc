"""Kinds of the group batch."""

from __future__ import annotations

from apiserver.kinds.batch.cronjob import CronJob
from apiserver.kinds.batch.job import Job
from apiserver.registry.kind import Kind

KINDS: tuple[Kind, ...] = (
    CronJob(),
    Job(),
)
