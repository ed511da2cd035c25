"""Parameters that are spread over ranks (FSDP): whose parts they are, and one sum over ranks where it is due.

Recording alone never calls a collective: each rank records the square of the norm of its own part, and
whoever reads adds them up. Clipping needs the whole norm, and so one sum over ranks; the squares of all
parameters and their counts of NaN and Inf travel in that one instead of the total alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from exptrack_agent.torch.ranks import is_distributed


def are_spread(named: Sequence[tuple[str, Any]], model: Any = None) -> bool:
    """Whether this rank holds only a part of one of them."""
    if not is_distributed() or dist.get_world_size() == 1:
        return False
    return any(groups_of(parameter, model) for _, parameter in named)


def groups_of(parameter: Any, model: Any = None) -> tuple[Any, ...]:
    """The process groups whose ranks hold the parts of a parameter; () when it is whole here.

    Args:
        parameter: one of `fully_shard` (a DTensor), of FullyShardedDataParallel, or any other.
        model: with FullyShardedDataParallel the wrapped module, which knows its group.
    """
    if type(parameter) is torch.nn.Parameter and "_fsdp_flattened" not in parameter.__dict__:
        return ()  # asked of every parameter at every step
    placements = getattr(parameter, "placements", None)
    if placements is not None:
        mesh = parameter.device_mesh
        return tuple(
            mesh.get_group(dimension)
            for dimension, placement in enumerate(placements)
            if placement.is_shard() and mesh.size(dimension) > 1
        )
    if not getattr(parameter, "_fsdp_flattened", False):
        return ()
    strategy = getattr(getattr(model, "sharding_strategy", None), "name", "")
    group = getattr(model, "process_group", None) or dist.group.WORLD
    is_whole = strategy == "NO_SHARD" or dist.get_world_size(group) == 1
    return () if is_whole else (group,)


def summed_over_ranks(parameters: Sequence[Any], numbers: Any, model: Any = None) -> Any:
    """Numbers of parts of parameters, summed over those who hold the others. A collective; no device waits.

    Args:
        parameters: the same ones, in the same order, on all ranks.
        numbers: float64 `[parameters, n]`, on the device that the ranks talk with; may be written to.
        model: as for `groups_of`.
    """
    by_groups: dict[tuple[int, ...], tuple[tuple[Any, ...], list[int]]] = {}
    for place, parameter in enumerate(parameters):
        groups = groups_of(parameter, model)
        key = tuple(id(group) for group in groups)
        by_groups.setdefault(key, (groups, []))[1].append(place)
    for groups, places in by_groups.values():
        is_all = len(places) == len(parameters)
        part = numbers if is_all else numbers[torch.tensor(places, device=numbers.device)]
        for group in groups:
            dist.all_reduce(part, group=group)
        if groups and not is_all:
            numbers[torch.tensor(places, device=numbers.device)] = part
    return numbers


def local(tensor: Any) -> Any:
    """This rank's part of a tensor, in its own memory."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
