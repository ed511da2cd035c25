"""How many bytes a training's state takes, told ahead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from exptrack_agent.torch.shards import local

_STATES = 2
"""Tensors per parameter that an optimizer is taken to make at its first step (Adam's kind)."""


def size_of(model: Any, optimizer: Any) -> int:
    """Bytes of a model's state, and of its optimizer's."""
    state = [value for value in model.state_dict().values() if isinstance(value, torch.Tensor)]
    if optimizer is None:
        return _total(state)
    own = _optimizer_tensors(optimizer)
    if not own:
        return _total(state) + _STATES * _total(_parameters(optimizer))
    return _total(state) + _total(own)


def size_of_optimizer(optimizer: Any) -> int:
    """Bytes of an optimizer's parameters and its state."""
    return _total(_parameters(optimizer)) + _total(_optimizer_tensors(optimizer))


def _parameters(optimizer: Any) -> list[Any]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _optimizer_tensors(optimizer: Any) -> list[Any]:
    states = optimizer.state.values()
    return [
        value for state in states for value in state.values() if isinstance(value, torch.Tensor)
    ]


def _total(tensors: Iterable[Any]) -> int:
    here = (local(tensor) for tensor in tensors)
    return sum(64 + tensor.numel() * tensor.element_size() for tensor in here)
