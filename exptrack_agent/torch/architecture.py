"""What a model is: a table of its parameters, and its graph as one real forward pass shows it.

    describe(model, sample_input)                 a dict; changes nothing and records nothing
    log_architecture(run, model, sample_input)    the table as text, the graph, the numbers into the summary

A graph that cannot be had is a note in the result, never an exception. How it is traced:
`graph.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgpack
import torch

from exptrack_agent.media import Text
from exptrack_agent.notices import say_once
from exptrack_agent.torch.graph import left_as_it_was, trace, unpacked
from exptrack_agent.torch.naming import plain_name, unwrapped
from exptrack_agent.torch.sending import kept_from_training
from exptrack_proto.limits import MAX_JSON_BYTES

MOST_ROWS = 2_000
"""Parameters listed in the table; more would not fit into one text."""


class _Row(NamedTuple):
    name: str
    shape: str
    dtype: str
    numbers: int
    size_bytes: int
    trainable: bool


def describe(model: Any, sample_input: Any = None, *, flops: bool = False) -> dict[str, Any]:
    """What a model consists of.

    Args:
        model: a module; DDP and compiled ones are looked into.
        sample_input: a tensor, a tuple (arguments) or a mapping (keyword arguments): one forward
            pass with it gives the graph. The model is left as it was: buffers (BatchNorm), mode and
            random numbers.
        flops: count the operations of one forward pass with `sample_input` (a second pass).

    Returns:
        `text` (Markdown), `class`, `parameters`, `trainable` and `bytes` (numbers), `buffers_bytes`,
        `flops` (None when not asked for, or unknown), `nodes` (name, op, inputs, shape of each; None
        without a graph), and `notes` (what could not be found out, and why).
    """
    model = unwrapped(model)
    notes: list[str] = []
    rows = [_row(name, parameter) for name, parameter in model.named_parameters()]
    is_lazy = any(row.numbers < 0 for row in rows)
    if is_lazy:
        notes.append(
            "some layers are lazy: their parameters have no shape before the first forward pass"
        )
    rows = [row._replace(numbers=max(0, row.numbers)) for row in rows]
    found: dict[str, Any] = {
        "class": type(model).__name__,
        "parameters": sum(row.numbers for row in rows),
        "trainable": sum(row.numbers for row in rows if row.trainable),
        "bytes": sum(row.size_bytes for row in rows),
        "buffers_bytes": sum(buffer.numel() * buffer.element_size() for buffer in _buffers(model)),
        "flops": None,
        "nodes": None,
        "notes": notes,
    }
    if sample_input is not None and not is_lazy:
        found["nodes"] = _tried(lambda: trace(model, sample_input), "the graph", notes)
        if flops:
            found["flops"] = _tried(lambda: count_flops(model, sample_input), "FLOPs", notes)
    found["text"] = _markdown(found, rows)
    return found


def log_architecture(
    run: Any, model: Any, sample_input: Any = None, *, flops: bool = False
) -> dict[str, Any]:
    """Record what `describe` finds: text `architecture`, the graph, and `architecture/…` in the summary.

    Returns:
        What `describe` returns; empty if describing failed, which is said and never raised.
    """
    found: dict[str, Any] = {}
    with kept_from_training("log_architecture"):
        found = describe(model, sample_input, flops=flops)
        run.log({"architecture": Text(found["text"])}, step=0)
        for note in found["notes"]:
            say_once(f"architecture {note[:60]}", note)
        if found["nodes"]:
            put_graph(run, found["nodes"])
        numbers = ("parameters", "trainable", "bytes", "flops")
        run.summary.update(
            {f"architecture/{key}": found[key] for key in numbers if found[key] is not None}
        )
    return found


def put_graph(run: Any, nodes: list[dict[str, Any]]) -> bool:
    """Record a graph for TensorBoard's graph page; False when it is too large for one item."""
    text = json.dumps(nodes, separators=(",", ":"))
    if len(text) > MAX_JSON_BYTES:
        say_once("graph size", f"the graph has {len(nodes):,} nodes, too many for one record")
        return False
    item = {"kind": "graph", "time_ns": time.time_ns(), "nodes": text}
    return bool(run.put_item(msgpack.packb(item)))


def count_flops(model: Any, sample_input: Any) -> int:
    """Operations of one forward pass: matrix products, convolutions and attention, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode  # loads what few need

    arguments, keywords = unpacked(sample_input)
    counter = FlopCounterMode(display=False)
    with left_as_it_was(unwrapped(model)), torch.no_grad(), counter:
        unwrapped(model)(*arguments, **keywords)
    return int(counter.get_total_flops())


# --- inside ---------------------------------------------------------------------------------------


def _tried(find: Any, what: str, notes: list[str]) -> Any:
    try:
        return find()
    except Exception as error:  # noqa: BLE001  # the model's own code runs
        notes.append(f"{what} could not be found: {type(error).__name__}: {str(error)[:200]}")
        return None


def _row(name: str, parameter: Any) -> _Row:
    is_lazy = isinstance(parameter, torch.nn.parameter.UninitializedParameter)
    shape = "lazy" if is_lazy else " × ".join(str(size) for size in parameter.shape) or "scalar"
    numbers = -1 if is_lazy else parameter.numel()
    size_bytes = 0 if is_lazy else numbers * parameter.element_size()
    dtype = str(parameter.dtype).removeprefix("torch.")
    return _Row(plain_name(name), shape, dtype, numbers, size_bytes, bool(parameter.requires_grad))


def _buffers(model: Any) -> Iterator[Any]:
    lazy = torch.nn.parameter.UninitializedBuffer
    yield from (buffer for buffer in model.buffers() if not isinstance(buffer, lazy))


def _markdown(found: dict[str, Any], rows: list[_Row]) -> str:
    lines = [f"**{found['class']}**: {found['parameters']:,} parameters", ""]
    lines[0] += f" ({found['trainable']:,} trainable), {found['bytes']:,} bytes"
    if found["flops"] is not None:
        lines[0] += f", {found['flops']:,} FLOPs a forward pass"
    lines += [
        "| parameter | shape | dtype | count | bytes | trainable |",
        "|---|---|---|--:|--:|---|",
    ]
    lines += [
        f"| {_cell(row.name)} | {row.shape} | {row.dtype} | {row.numbers:,} | {row.size_bytes:,}"
        f" | {'yes' if row.trainable else 'no'} |"
        for row in rows[:MOST_ROWS]
    ]
    if len(rows) > MOST_ROWS:
        lines.append(f"| … {len(rows) - MOST_ROWS:,} more | | | | | |")
    lines += [""] * bool(found["notes"]) + [f"- {note}" for note in found["notes"]]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
