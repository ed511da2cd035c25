"""What SummaryWriter computes before it writes: precision and recall, and histograms with given bins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from exptrack_agent.compat.tensorboard.pictures import as_array

CURVE_COLUMNS = ["threshold", "precision", "recall", "tp", "fp", "tn", "fn"]
_TINY = 1e-7


def precision_recall(
    labels: Any, predictions: Any, num_thresholds: int = 127, weights: Any = None
) -> list[list[float]]:
    """Rows of `CURVE_COLUMNS`, by evenly spaced thresholds, as TensorBoard's curve has them."""
    truth = as_array(labels).ravel().astype(bool)
    scores = as_array(predictions).ravel().astype(float)
    weight = np.ones(truth.size) if weights is None else as_array(weights).ravel().astype(float)
    count = min(int(num_thresholds), 127)
    places = np.clip(np.floor(scores * (count - 1)), 0, count - 1).astype(int)
    hits = np.bincount(places, weight * truth, count)[::-1].cumsum()[::-1]
    misses = np.bincount(places, weight * ~truth, count)[::-1].cumsum()[::-1]
    negatives, positives = misses[0], hits[0]
    columns = [
        np.linspace(0, 1, count),
        hits / np.maximum(_TINY, hits + misses),
        hits / np.maximum(_TINY, positives),
        hits,
        misses,
        negatives - misses,
        positives - hits,
    ]
    return [[float(number) for number in row] for row in zip(*columns, strict=True)]


def raw_curve(*columns: Any) -> list[list[float]]:
    """Rows of `CURVE_COLUMNS` of counts that are there: tp, fp, tn, fn, precision, recall."""
    hits, misses, true_negatives, false_negatives, precision, recall = map(as_array, columns)
    thresholds = np.linspace(0, 1, len(precision))
    order = (thresholds, precision, recall, hits, misses, true_negatives, false_negatives)
    return [[float(number) for number in row] for row in zip(*order, strict=True)]


def binned(values: Any, bins: Iterable[float]) -> tuple[Any, Any]:
    """Counts and edges of values in bins of one's own."""
    return np.histogram(as_array(values).ravel(), np.asarray(list(bins)))


def raw_bins(lowest: float, highest: float, limits: Any, counts: Any) -> tuple[Any, Any]:
    """Counts and edges from TensorBoard's upper limits: the first bucket begins at the least value."""
    upper = np.asarray(as_array(limits), dtype=float).clip(max=max(highest, lowest))
    first = min(float(lowest), float(upper[0]))
    edges = np.maximum.accumulate(np.concatenate([[first], upper]))
    return np.asarray(as_array(counts), dtype=float), edges
