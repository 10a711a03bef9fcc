"""A whole cluster as `steersman up` runs it: ready, memory when idle, from `kubectl apply` to Running, stop.

Real containers where the machine can run them, simulated ones elsewhere; the note says which.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.api import Row, pss
from tests.support import images, machine
from tests.support.cluster import Cluster

IMAGE = "bench.local/busybox:1"
SETTLE = 10.0  # seconds after which a cluster counts as idle


def rows() -> Iterator[Row]:
    """Measure one cluster, started twice."""
    if machine.kubectl() is None:
        return
    simulated = machine.why_no_containers()
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as folder:
        cluster = Cluster(Path(folder) / "cluster", *(["--runtime=simulated"] if simulated else []))
        yield Row(
            "cluster, first start", cluster.start(), "s", 2.5, "everything, the node registered; containerd included"
        )
        if not simulated:
            archive = images.build(Path(folder) / "image.tar", IMAGE)
            cluster.steersman("image", "load", str(archive))
        cluster.stop()
        yield Row(
            "cluster, start",
            cluster.start(),
            "s",
            0,
            "on an existing data directory; the API server alone is the row start",
        )
        try:
            time.sleep(SETTLE)
            pids = cluster.pids()
            plane = sum(pss(pids[name]) for name in ("apiserver", "controllers", "scheduler"))
            yield Row("control plane, idle", plane, "MB", 150, f"Pss; the node agent {pss(pids['nodeagent']):.0f}")
            taken = sorted(_apply(cluster, number) for number in range(5))
            kind = "simulated: " + simulated if simulated else "real containers"
            yield Row("apply to Running", taken[2], "s", 1.0, f"median of 5, kubectl included; {kind}")
        finally:
            seconds = cluster.stop()
            cluster.steersman("reset", "--yes")
        yield Row("stop", seconds, "s", 5.0)


def _apply(cluster: Cluster, number: int) -> float:
    """Seconds from kubectl apply to the pod's being ready."""
    container = {"name": "main", "image": IMAGE, "command": ["sleep", "3600"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    begun = time.perf_counter()
    cluster.apply(json.dumps(pod))
    cluster.out("wait", f"pod/pod-{number}", "--for=condition=Ready", "--timeout=30s")
    return time.perf_counter() - begun
