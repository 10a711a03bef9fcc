"""ImageLocality: nodes that already have a pod's images are better, the more so the larger and more widespread these are."""

from __future__ import annotations

import numpy as np

from scheduler.framework import MAX_SCORE, Cycle, Rows, Scores

_MB = 1024 * 1024
MIN_BYTES, MAX_BYTES_PER_CONTAINER = 23 * _MB, 1000 * _MB


def normalised_name(image: str) -> str:
    """With the tag that a name without one means."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


class ImageLocality:
    name = "ImageLocality"
    weight = 1

    def score(self, cycle: Cycle, rows: Rows) -> Scores | None:
        nodes, images = cycle.nodes, cycle.pod.images
        sums = np.zeros(nodes.rows)
        for image in images:
            held = nodes.images.get(normalised_name(image))
            if held:
                spread = len(held) / nodes.count
                for row, size in held.items():
                    sums[row] += int(size * spread)
        top = MAX_BYTES_PER_CONTAINER * len(images)
        clamped = np.clip(sums[rows], MIN_BYTES, max(top, MIN_BYTES + 1))
        scores: Scores = np.floor(MAX_SCORE * (clamped - MIN_BYTES) / max(top - MIN_BYTES, 1))
        return scores
