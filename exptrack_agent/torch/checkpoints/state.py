"""What a checkpoint holds: taken from a training, and put back into it."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.checkpoints.tree import Encoder, Node
from exptrack_agent.torch.naming import unwrapped

_MOST_NAMES = 5


def encode_state(encoder: Encoder, states: Mapping[str, Any], about: Mapping[str, Any]) -> Node:
    """The tree of a checkpoint: what training goes on from, what tells about it, and random numbers.

    Raises:
        Misuse: a state holds what cannot be read back without running code.
    """
    pairs = [[name, encoder.describe(value, name)] for name, value in about.items()]
    pairs += [[name, encoder.encode(value, name)] for name, value in states.items()]
    pairs.append(["rng_state", encoder.encode(random_state(), "rng_state")])
    return ["d", *pairs]


def states_of(model: Any, optimizer: Any, scheduler: Any) -> dict[str, Any]:
    """Their state dicts, by the names that a checkpoint has for them."""
    return {
        "model_state_dict": unwrapped(model).state_dict(),
        "optimizer_state_dict": optimizer.state_dict() if optimizer is not None else None,
        "scheduler_state_dict": scheduler.state_dict() if scheduler is not None else None,
    }


def now_s() -> float:
    """Unix time."""
    return time.time_ns() / 1e9


# --- random numbers ---------------------------------------------------------------------------------


def random_state() -> dict[str, Any]:
    """Where the generators of torch, Python and (if it is in use) NumPy and CUDA stand, as plain values."""
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        name, keys, position, has_gauss, gauss = numpy.random.get_state()
        keys = [int(key) for key in keys]
        state["numpy"] = [name, keys, int(position), int(has_gauss), float(gauss)]
    if torch.cuda.is_initialized():  # not run here: no CUDA device
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put the generators back to where they stood."""
    if "torch" in state:
        torch.set_rng_state(state["torch"].cpu())
    if "python" in state:
        random.setstate(state["python"])
    if "numpy" in state:
        import numpy as np

        name, keys, *rest = state["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    if "cuda" in state and torch.cuda.is_available():  # not run here: no CUDA device
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])


# --- putting it back --------------------------------------------------------------------------------


def restore_state(state: Mapping[str, Any], model: Any, optimizer: Any, scheduler: Any) -> None:
    """Put everything back. What does not fit is found before anything is changed.

    Raises:
        Misuse: the checkpoint is of another model or optimizer, or holds none for what was given.
    """
    inner = unwrapped(model)
    weights = _part(state, "model_state_dict", "model")
    _check_model(weights, inner)
    if optimizer is not None:
        _check_optimizer(_part(state, "optimizer_state_dict", "optimizer"), optimizer)
    if scheduler is not None:
        _part(state, "scheduler_state_dict", "scheduler")
    inner.load_state_dict(weights)
    if optimizer is not None:
        optimizer.load_state_dict(state["optimizer_state_dict"])
    if scheduler is not None:
        scheduler.load_state_dict(state["scheduler_state_dict"])
    restore_random_state(state.get("rng_state") or {})


def _part(state: Mapping[str, Any], name: str, what: str) -> Mapping[str, Any]:
    part = state.get(name)
    if not isinstance(part, Mapping):
        raise Misuse(f"the checkpoint holds no {name}: it was saved without a {what}")
    return part


def _check_model(weights: Mapping[str, Any], model: Any) -> None:
    own = model.state_dict()
    missing = [name for name in own if name not in weights]
    strange = [name for name in weights if name not in own]
    shapes = [
        f"{name} is {_shape(weights[name])}, not {_shape(value)}"
        for name, value in own.items()
        if name in weights and _shape(weights[name]) != _shape(value)
    ]
    found = [
        f"{words}: {', '.join(names[:_MOST_NAMES])}{' …' if len(names) > _MOST_NAMES else ''}"
        for words, names in (
            ("it lacks", missing),
            ("it has beside", strange),
            ("of another shape", shapes),
        )
        if names
    ]
    if found:
        raise Misuse(f"the checkpoint is of another model than this one; {'; '.join(found)}")


def _check_optimizer(state: Mapping[str, Any], optimizer: Any) -> None:
    saved = [len(group.get("params", ())) for group in state.get("param_groups", ())]
    own = [len(group["params"]) for group in optimizer.param_groups]
    if saved != own:
        raise Misuse(
            f"the checkpoint's optimizer has groups of {saved} parameters, this one of {own}"
        )


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None
