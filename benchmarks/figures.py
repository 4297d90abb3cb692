"""Summaries of measured times."""

from __future__ import annotations

import statistics


def summary(values: list[float]) -> dict[str, float]:
    """Return p50, p99 and the maximum of milliseconds."""
    ordered = sorted(values)
    return {
        "samples": len(ordered),
        "p50_ms": round(statistics.median(ordered), 2),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 2),
        "max_ms": round(ordered[-1], 2),
    }
