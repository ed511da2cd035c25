"""A model's graph from its nodes: TensorFlow's `GraphDef`, as TensorBoard's graph page draws it. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT

from exptrack_daemon.errors import BatchRejected


class _Node(msgspec.Struct, frozen=True):
    """One operation or module; `name` holds its scopes, joined by `/`."""

    name: str
    op: str
    inputs: list[str] = []
    shape: list[int] | None = None


def graph_of_nodes(text: str) -> bytes:
    """The serialized GraphDef of a JSON array of nodes (see `Graph` in exptrack_proto.records).

    Raises:
        BatchRejected: it is no array of nodes.
    """
    try:
        nodes = msgspec.json.decode(text, type=list[_Node])
    except msgspec.DecodeError as error:
        raise BatchRejected(f"graph: its nodes cannot be read ({error})") from error
    graph: Any = GraphDef()
    for node in nodes:
        definition = graph.node.add(name=node.name, op=node.op, input=node.inputs)
        if node.shape is None:
            continue
        dimensions = [TensorShapeProto.Dim(size=size) for size in node.shape]
        definition.attr["_output_shapes"].list.shape.add(dim=dimensions)
        definition.attr["dtype"].type = DT_FLOAT
    serialized: bytes = graph.SerializeToString(deterministic=True)
    return serialized
