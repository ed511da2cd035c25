"""From the state of one rank to its part of a set, and back: DTensors as local tensors and where they belong.

A part is an ordinary checkpoint whose tensors are this rank's own, and `part`: rank, world size, and for each
tensor that is spread over ranks its place in the tree, the shape of the whole and the offset of the part.
Ranks of the same number take up their own parts; with any other number the wholes are put together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from exptrack_agent.errors import Misuse

Path: TypeAlias = tuple[Any, ...]
"""Keys on the way down a state."""


def taken_apart(states: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """States with local tensors, and where these belong.

    Returns:
        The states, and `[path, placements, shape, offset]` of each tensor that is spread.

    Raises:
        Misuse: a tensor is spread in a way that cannot be put together again.
    """
    spread: list[Any] = []

    def local(path: Path, value: Any) -> Any:
        if not hasattr(value, "placements"):
            return value
        placements = [_text(placement, path) for placement in value.placements]
        spread.append([list(path), placements, list(value.shape), _offset(value)])
        return value.to_local()

    return _mapped(dict(states), local, ()), spread


def taken_up(state: Mapping[str, Any], owns: Callable[[Path], Any]) -> dict[str, Any] | None:
    """A rank's own part with DTensors again; None when the training is laid out in another way now.

    Args:
        state: as read from the rank's own file.
        owns: the tensor of the training that stands at a path, or that an optimizer's state belongs to.
    """
    known = {tuple(path): rest for path, *rest in state["part"]["spread"]}
    made: dict[Path, Any] = {}
    for path, (placements, shape, offset) in known.items():
        own = owns(path)
        if own is None or not hasattr(own, "placements"):
            return None
        if [_text(p, path) for p in own.placements] != placements or list(own.shape) != shape:
            return None
        local = _at(state, path)
        if _offset(own) != offset or local.shape != own.to_local().shape:
            return None
        made[path] = type(own).from_local(
            local.to(own.to_local().device),
            own.device_mesh,
            own.placements,
            run_check=False,
            shape=own.shape,
            stride=own.stride(),
        )
    taken = {name: value for name, value in state.items() if name != "part"}
    return dict(_mapped(taken, made.get, ()))


def put_together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of all ranks as if there were one; what is not spread is that of rank 0."""
    wholes: dict[Path, Any] = {}
    for part in parts:
        for path, _, shape, offset in part["part"]["spread"]:
            local = _at(part, path)
            whole = wholes.setdefault(tuple(path), torch.empty(shape, dtype=local.dtype))
            place = tuple(
                slice(at, at + size) for at, size in zip(offset, local.shape, strict=True)
            )
            whole[place] = local
    first = {name: value for name, value in parts[0].items() if name != "part"}
    return dict(_mapped(first, wholes.get, ()))


def spread_out(state: Mapping[str, Any], owns: Callable[[Path], Any]) -> dict[str, Any]:
    """A whole state with DTensors where the training has them; no rank tells another anything."""
    from torch.distributed.tensor import distribute_tensor

    def own_part(path: Path, value: Any) -> Any:
        own = owns(path) if isinstance(value, torch.Tensor) else None
        if own is None or not hasattr(own, "placements") or value.shape != own.shape:
            return value
        there = value.to(own.to_local().device)
        return distribute_tensor(there, own.device_mesh, own.placements, src_data_rank=None)

    return dict(_mapped(dict(state), own_part, ()))


def owner_in(model: Any, optimizer: Any) -> Callable[[Path], Any]:
    """What finds the tensor of a training that stands at a path of its checkpoint."""
    own = model.state_dict()
    groups = optimizer.param_groups if optimizer is not None else ()
    parameters = [parameter for group in groups for parameter in group["params"]]

    def find(path: Path) -> Any:
        match path:
            case ("model_state_dict", name):
                return own.get(name)
            case ("optimizer_state_dict", "state", int(index), *_) if index < len(parameters):
                return parameters[index]
        return None

    return find


# --- inside -----------------------------------------------------------------------------------------


def _mapped(value: Any, change: Callable[[Path, Any], Any], path: Path) -> Any:
    """A copy of the mappings and lists of a tree, each leaf changed."""
    if type(value) is list:
        return [_mapped(one, change, (*path, place)) for place, one in enumerate(value)]
    if isinstance(value, Mapping):
        pairs = {key: _mapped(one, change, (*path, key)) for key, one in value.items()}
        return pairs if type(value) is dict else OrderedDict(pairs)
    return change(path, value)


def _at(state: Any, path: Sequence[Any]) -> Any:
    for key in path:
        state = state[key]
    return state


def _text(placement: Any, path: Path) -> str:
    name = type(placement).__name__
    if name == "Shard":
        return f"S{placement.dim}"
    if name == "Replicate":
        return "R"
    shown = ".".join(map(str, path))
    raise Misuse(
        f"{shown} is spread as {placement}, which a checkpoint cannot hold: gather it first"
    )


def _offset(tensor: Any) -> list[int]:
    """Where the part of this rank begins in the whole, by dimension."""
    start, size = [0] * tensor.dim(), list(tensor.shape)
    for dimension, index, count in _cuts(tensor):
        chunk = -(-size[dimension] // count)  # as torch.chunk cuts
        begin = min(index * chunk, size[dimension])
        start[dimension] += begin
        size[dimension] = min(chunk, size[dimension] - begin)
    return start


def _cuts(tensor: Any) -> Iterator[tuple[int, int, int]]:
    mesh = tensor.device_mesh
    for number, placement in enumerate(tensor.placements):
        if placement.is_shard():
            yield placement.dim, mesh.get_local_rank(number), mesh.size(number)
