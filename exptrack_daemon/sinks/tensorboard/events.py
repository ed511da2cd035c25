"""What stands in an event file, built from TensorBoard's own protobufs; every function here is pure.

Times are the items' own, never a clock's, so that the same item makes the same bytes at any time.

The files say version 1, and this decides what a rewind looks like with `--load_fast=false`. From version 2
on that reader waits for `SessionLog.START` and then drops the later steps of *all* tags: a resume that begins
with an evaluation at epoch 9 would take every training step past 9 off the screen, and a tag left without
images makes the images page fail (both seen with 2.21). In version 1 it drops those of the arriving tags
alone, as the default reader does in either version; `rewind_mark` makes sure that it looks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.text.metadata import create_summary_metadata as text_metadata

from exptrack_proto.limits import MAX_STEP
from exptrack_proto.records import Scalar

Value: TypeAlias = Any
"""A `Summary.Value`; the generated classes carry no types."""

NS_PER_S = 1e9


def version_event(time_ns: int) -> bytes:
    """The first Event of every file."""
    return _bytes(Event(wall_time=time_ns / NS_PER_S, file_version="brain.Event:1"))


def rewind_mark(time_ns: int) -> bytes:
    """An Event without values, after which the Python reader takes any step for one that goes back.

    It drops what the next Event's tags have at that step and later; other readers see nothing in it.
    """
    return _bytes(Event(wall_time=time_ns / NS_PER_S, step=MAX_STEP, summary=Summary()))


def summary_event(step: int, time_ns: int, values: Sequence[Value]) -> bytes:
    """Values at a step."""
    return _bytes(Event(wall_time=time_ns / NS_PER_S, step=step, summary=Summary(value=values)))


def graph_event(graph: bytes, time_ns: int) -> bytes:
    return _bytes(Event(wall_time=time_ns / NS_PER_S, graph_def=graph))


def scalar(number: float) -> Value:
    return Summary.Value(simple_value=number)


def text(markdown: str) -> Value:
    # Shape [] shows as plain Markdown; shape [1] would show as a table of one cell.
    tensor = TensorProto(
        dtype=DT_STRING,
        tensor_shape=TensorShapeProto(),
        string_val=[markdown.encode("utf-8", "replace")],
    )
    return Summary.Value(tensor=tensor, metadata=text_metadata(display_name="", description=""))


def plugin_metadata(plugin: str, content: bytes) -> Any:
    return SummaryMetadata(
        plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content)
    )


class RowShape:
    """The Event of rows that hold the same tags; only time, step and numbers change between them.

    Filling a kept message and serializing it is three times as fast as building one anew, and the bytes
    are protobuf's own.
    """

    def __init__(self, tags: Sequence[str]) -> None:
        self._event = Event()
        self._event.summary.SetInParent()
        add = self._event.summary.value.add
        self._values = [add(tag=tag) for tag in tags]

    def encode(self, step: int, time_ns: int, numbers: Collection[Scalar]) -> bytes:
        """The Event's bytes; `numbers` in the order of the tags.

        Raises:
            TypeError: one of them is a string or None.
        """
        for value, number in zip(self._values, numbers, strict=True):
            value.simple_value = number
        self._event.wall_time = time_ns / NS_PER_S
        self._event.step = step
        encoded: bytes = self._event.SerializeToString()
        return encoded


def _bytes(event: Any) -> bytes:
    # Sorted map keys: hparams travel in a map, whose order protobuf otherwise leaves open.
    encoded: bytes = event.SerializeToString(deterministic=True)
    return encoded
