"""Copying while the next step computes: what only an optimizer changes is taken before it steps."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from exptrack_agent.torch.checkpoints.stage import Stage
from exptrack_agent.torch.checkpoints.tree import Encoder

_WORTH_BYTES = 64 * 1024


class ChangedTooSoon(Exception):
    """A tensor was changed before it was copied, and not by its optimizer."""


class Overlap:
    """The storages of one save that are copied later: parameters and state of an optimizer, on the CPU."""

    def __init__(self, encoder: Encoder, optimizer: Any) -> None:
        self._tensors: dict[int, list[tuple[Any, int]]] = {}
        for tensor in _tensors_of(optimizer):
            place = encoder.place_of(tensor)
            if place is not None and encoder.storages[place].nbytes() >= _WORTH_BYTES:
                self._tensors.setdefault(place, []).append((tensor, tensor._version))  # noqa: SLF001
        self._copies: list[tuple[int, Any, int]] = []
        self._stage: Stage | None = None
        self._is_done = threading.Event()
        _pending_of(optimizer).append(self)

    @property
    def places(self) -> frozenset[int]:
        """Which storages it copies."""
        return frozenset(self._tensors)

    def begin(self, stage: Stage, storages: Sequence[Any], starts: Sequence[int]) -> None:
        """Know where they go."""
        self._stage = stage
        self._copies = [(place, storages[place], starts[place]) for place in self._tensors]

    def wait(self) -> None:
        """Copy them, in this thread.

        Raises:
            ChangedTooSoon: what was copied is not what was to be saved.
        """
        assert self._stage is not None
        try:
            for place, storage, start in self._copies:
                self._stage.copy_in(storage, start)
                if any(tensor._version != version for tensor, version in self._tensors[place]):  # noqa: SLF001
                    raise ChangedTooSoon(
                        "weights were changed otherwise than by the optimizer's step while they were copied;"
                        " save with overlap=False"
                    )
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Hold nobody up."""
        self._copies, self._tensors = [], {}
        self._is_done.set()

    def join(self) -> None:
        """Wait until all is copied."""
        self._is_done.wait()


_pending: weakref.WeakKeyDictionary[Any, list[Overlap]] = weakref.WeakKeyDictionary()


def _pending_of(optimizer: Any) -> list[Overlap]:
    """The copies under way of an optimizer; its steps wait for them from now on."""
    pending = _pending.get(optimizer)
    if pending is None:
        pending = _pending[optimizer] = []
        optimizer.register_step_pre_hook(_join)
    return pending


def _join(optimizer: Any, _arguments: Any, _keywords: Any) -> None:
    pending = _pending.get(optimizer)
    while pending:
        pending.pop().join()


def _tensors_of(optimizer: Any) -> Iterator[Any]:
    for group in optimizer.param_groups:
        yield from group["params"]
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, torch.Tensor))
