"""What ranks that hold a model's parts agree on: the name of a save, and which checkpoint to go on from.

Saving calls no collective but one broadcast, at the first save of a process. Going on does: all ranks have to
take the same checkpoint, whatever each of them finds on its disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from exptrack_agent.errors import Misuse
from exptrack_agent.start import new_run_id
from exptrack_agent.torch.checkpoints import files, parts, sets
from exptrack_agent.torch.checkpoints.files import CheckpointDamaged
from exptrack_agent.torch.checkpoints.loading import read_checkpoint, read_part
from exptrack_agent.torch.checkpoints.state import restore_state
from exptrack_agent.torch.naming import named_parameters, unwrapped
from exptrack_agent.torch.ranks import is_distributed
from exptrack_agent.torch.shards import are_spread

_numbers = itertools.count()
_token = ""
"""What this job's saves begin with: no other job's, and no other attempt's, do."""


def is_in_parts(model: Any) -> bool:
    """Whether each rank holds a part of the model, and so saves one.

    Raises:
        Misuse: it is spread by FullyShardedDataParallel, whose state only all ranks together can tell.
    """
    named = list(named_parameters(model))
    if not are_spread(named, model):
        return False
    if any(getattr(parameter, "_fsdp_flattened", False) for _, parameter in named):
        raise Misuse(
            "checkpoints take models of fully_shard (FSDP2); of FullyShardedDataParallel gather a full state"
            " dict first and save that on rank 0"
        )
    return True


def is_saved_elsewhere(model: Any) -> bool:
    """Whether rank 0 saves the very same: replicas of DistributedDataParallel are equal."""
    is_replica = isinstance(model, torch.nn.parallel.DistributedDataParallel)
    return is_replica and is_distributed() and dist.get_rank() != 0


def part_of(states: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """This rank's part of the states, and what its file says of it. Called by all ranks, in the same order.

    Raises:
        Misuse: a tensor is spread in a way that cannot be put together again.
    """
    own, spread = parts.taken_apart(states)
    rank, size = dist.get_rank(), dist.get_world_size()
    return own, {"rank": rank, "world_size": size, "save": _next_save(rank), "spread": spread}


def restore(
    found: list[Path], model: Any, optimizer: Any, scheduler: Any
) -> tuple[Path | None, dict[str, Any] | None, list[str]]:
    """Go on from the first that every rank finds whole. Called by all ranks; those of rank 0 are tried.

    Returns:
        Which it was, what this rank took up (None: there is none), and why others were passed over.

    Raises:
        Misuse: it is of another model or optimizer.
    """
    chosen, rejected = _agreed(found, _check_share)
    if chosen is None:
        return None, None, rejected
    owns = parts.owner_in(unwrapped(model), optimizer)
    state: dict[str, Any] | None = None
    if sets.is_manifest(chosen):
        manifest = sets.read_manifest(chosen)
        if manifest["world_size"] == dist.get_world_size():
            own = chosen.with_name(manifest["parts"][dist.get_rank()]["name"])
            state = parts.taken_up(read_part(own), owns)
    if state is None:
        state = parts.spread_out(read_checkpoint(chosen), owns)
    restore_state(state, model, optimizer, scheduler)
    return chosen, state, rejected


def _next_save(rank: int) -> str:
    global _token  # noqa: PLW0603  # one for the process, as its ranks are
    if not _token:
        box = [new_run_id() if rank == 0 else ""]
        dist.broadcast_object_list(box, src=0)
        _token = box[0]
    return f"{_token}-{next(_numbers)}"


def _agreed(found: list[Path], check: Callable[[Path], None]) -> tuple[Path | None, list[str]]:
    """The first of rank 0's that no rank objects to, and the objections to those before it."""
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, [str(path) for path in found])  # and all have settled by now
    rejected: list[str] = []
    for path in map(Path, every[0]):
        problem = ""
        try:
            check(path)
        except (CheckpointDamaged, OSError) as error:
            problem = str(error)
        problems: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(problems, problem)
        said = [one for one in problems if one]
        if not said:
            return path, rejected
        rejected.append(said[0])
    return None, rejected


def _check_share(path: Path) -> None:
    """Each rank reads some parts, so that all are read once."""
    rank, size = dist.get_rank(), dist.get_world_size()
    if not sets.is_manifest(path):
        if rank == 0:
            files.check(path)
        return
    manifest = sets.read_manifest(path)
    for number in range(rank, manifest["world_size"], size):
        sets.check_part(path, manifest, number)
