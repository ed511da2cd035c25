"""Which process of a distributed job this is: `torch.distributed` if it runs, else what launchers set."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch.distributed as dist

from exptrack_agent.settings import Identity, identity


def rank_identity(environ: Mapping[str, str] = os.environ) -> Identity:
    """Rank, world size and local rank, in this order: `dist`, torchrun, MPI, SLURM. Read anew each time."""
    launched = identity(environ)
    if not is_distributed():
        return launched
    rank, size = dist.get_rank(), dist.get_world_size()
    if (rank, size) == (launched.rank, launched.world_size):
        return launched
    local = environ.get("LOCAL_RANK", "")
    return Identity(rank, size, int(local) if local.isdigit() else 0)


def world_size() -> int:
    """Ranks that train together."""
    return rank_identity().world_size


def is_main() -> bool:
    """Whether this is rank 0."""
    return rank_identity().rank == 0


def is_distributed() -> bool:
    """Whether `torch.distributed` is initialised."""
    return bool(dist.is_available() and dist.is_initialized())
