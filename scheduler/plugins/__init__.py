"""One rule per file. DEFAULT_PROFILE is the original's default plugins in their order; adding one = one file and one line."""

from __future__ import annotations

from typing import Any

from scheduler.plugins.balancedallocation import BalancedAllocation
from scheduler.plugins.imagelocality import ImageLocality
from scheduler.plugins.interpodaffinity import InterPodAffinity
from scheduler.plugins.nodeaffinity import NodeAffinity
from scheduler.plugins.nodename import NodeName
from scheduler.plugins.nodeports import NodePorts
from scheduler.plugins.noderesourcesfit import NodeResourcesFit
from scheduler.plugins.nodeunschedulable import NodeUnschedulable
from scheduler.plugins.podtopologyspread import PodTopologySpread
from scheduler.plugins.tainttoleration import TaintToleration
from scheduler.plugins.volumes import VolumeBinding

DEFAULT_PROFILE: tuple[type[Any], ...] = (
    NodeUnschedulable,
    NodeName,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    NodeResourcesFit,
    VolumeBinding,
    PodTopologySpread,
    InterPodAffinity,
    BalancedAllocation,
    ImageLocality,
)
