"""What the hparams page reads: a session's start with its hyperparameters, and its end.

Both are values that hold only metadata, in the same file as the scalars. No experiment summary is written:
without one TensorBoard infers hyperparameters and metrics over all runs. Of each only a run's first one
counts, on both readers; `projection` decides when they are written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from exptrack_daemon.sinks.tensorboard.events import NS_PER_S, Value, plugin_metadata

# `plugins.hparams.metadata` has these too, but importing it imports TensorFlow where that is installed.
_PLUGIN = "hparams"
_START_TAG = "_hparams_/session_start_info"
_END_TAG = "_hparams_/session_end_info"
RESERVED_PREFIX = "_hparams_/"

_MOST_KEYS = 1_000
_MOST_CHARS = 500
_MOST_DEPTH = 8
_STATUS = {"finished": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}


def flatten(config: Mapping[str, object]) -> dict[str, object]:
    """Names joined by `/`, values as the page can show them; bounded in number and length."""
    flat: dict[str, object] = {}
    for name, value in _leaves("", config, 0):
        if len(flat) == _MOST_KEYS:
            break
        flat[name[:_MOST_CHARS]] = _showable(value)
    return flat


def _leaves(prefix: str, config: Mapping[str, object], depth: int) -> Iterator[tuple[str, object]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value and depth < _MOST_DEPTH:
            yield from _leaves(f"{prefix}{name}/", value, depth + 1)
        else:
            yield f"{prefix}{name}", value


def _showable(value: object) -> object:
    if isinstance(value, bool):
        return value
    # The page travels as JSON, and one NaN in it would take the whole page down.
    if isinstance(value, int | float) and abs(value) < 2**1023 and math.isfinite(value):
        return value
    text = value if isinstance(value, str) else _as_json(value)
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 1] + "…"


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (RecursionError, ValueError):
        return "…"  # lists within lists past what anybody reads


def session_start(hparams: Mapping[str, object], started_ns: int) -> Value:
    """`hparams` as `flatten` returned it."""
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=started_ns / NS_PER_S)
    for name, value in hparams.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[name].number_value = value
        else:
            start.hparams[name].string_value = str(value)
    return _metadata_only(_START_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start))


def session_end(status: str, ended_ns: int) -> Value | None:
    """None for a run that crashed or was preempted: it may be resumed, and the first end stands for good."""
    if status not in _STATUS:
        return None
    end = plugin_data_pb2.SessionEndInfo(status=_STATUS[status], end_time_secs=ended_ns / NS_PER_S)
    return _metadata_only(_END_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end))


def _metadata_only(tag: str, content: plugin_data_pb2.HParamsPluginData) -> Value:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)])
    encoded = content.SerializeToString(deterministic=True)
    return Summary.Value(
        tag=tag,
        tensor=TensorProto(dtype=DT_FLOAT, tensor_shape=shape),
        metadata=plugin_metadata(_PLUGIN, encoded),
    )
