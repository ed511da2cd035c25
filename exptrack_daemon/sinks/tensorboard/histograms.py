"""Histograms: values binned here, or counts and edges as they came, to TensorBoard's [k, 3] tensor.

Its rows are left edge, right edge, count. At most 128 bins: more than a screen can tell apart.
"""

from __future__ import annotations

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE
from tensorboard.plugins.histogram.metadata import create_summary_metadata

from exptrack_daemon.errors import BatchRejected
from exptrack_daemon.sinks.tensorboard.arrays import Numbers, to_numpy
from exptrack_daemon.sinks.tensorboard.events import Value
from exptrack_proto.records import Array, Histogram

_BINS = 64
_MOST_BINS = 128
_EMPTY = np.zeros((1, 3))


def histogram_value(item: Histogram) -> tuple[Value, int]:
    """The histogram, and how many values were left out because they are NaN or infinite.

    Raises:
        BatchRejected: sizes do not fit, or counts or edges are no histogram's.
    """
    owner = f"histogram {item.name!r} at step {item.step}"
    if item.values is not None:
        values = to_numpy(item.values, owner).ravel()
        finite = _finite(values)
        return _value(_bin(finite)), values.size - finite.size
    if item.counts is None or item.edges is None:
        raise BatchRejected(f"{owner} has neither values nor both counts and edges")
    return _value(_given(item.counts, item.edges, owner)), 0


def _finite(values: Numbers) -> Numbers:
    if values.dtype.kind != "f":
        return values.astype(np.float64)
    return values[np.isfinite(values)].astype(np.float64)


def _bin(values: Numbers) -> Numbers:
    if values.size == 0:
        return _EMPTY
    with np.errstate(all="ignore"):
        try:
            counts, edges = np.histogram(values, _BINS)
        except ValueError:
            # The span overflows a float, or holds fewer floats than bins: one bin says what can be said.
            return np.array([[values.min(), values.max(), values.size]])
    return _rows(counts, edges)


def _given(counts: Array, edges: Array, owner: str) -> Numbers:
    heights = to_numpy(counts, owner).astype(np.float64)
    borders = to_numpy(edges, owner).astype(np.float64)
    if heights.ndim != 1 or heights.size == 0 or borders.shape != (heights.size + 1,):
        raise BatchRejected(
            f"{owner} has counts of shape {list(heights.shape)} and edges of {list(borders.shape)}"
        )
    if not (np.isfinite(heights).all() and np.isfinite(borders).all() and (heights >= 0).all()):
        raise BatchRejected(f"{owner} has a count or an edge that is negative, NaN or infinite")
    if (borders[1:] < borders[:-1]).any():
        raise BatchRejected(f"{owner} has edges that do not rise")
    return _rows(*_merge(heights, borders))


def _merge(heights: Numbers, borders: Numbers) -> tuple[Numbers, Numbers]:
    if heights.size <= _MOST_BINS:
        return heights, borders
    starts = np.arange(0, heights.size, -(-heights.size // _MOST_BINS))
    return np.add.reduceat(heights, starts), np.append(borders[starts], borders[-1])


def _rows(counts: Numbers, edges: Numbers) -> Numbers:
    return np.stack([edges[:-1], edges[1:], counts.astype(np.float64)], axis=1)


def _value(rows: Numbers) -> Value:
    dims = [TensorShapeProto.Dim(size=size) for size in rows.shape]
    tensor = TensorProto(
        dtype=DT_DOUBLE,
        tensor_shape=TensorShapeProto(dim=dims),
        tensor_content=rows.astype("<f8").tobytes(),
    )
    metadata = create_summary_metadata(display_name="", description="")
    return Summary.Value(tensor=tensor, metadata=metadata)
