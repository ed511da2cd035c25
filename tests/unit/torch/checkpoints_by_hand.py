"""Checkpoints whose writer is turned by hand, in this process: no other process, no waiting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from exptrack_agent.torch.checkpoints import folders, saver, writer


class LinkByHand:
    """Stands where `WriterLink` does; `write` writes the oldest staged save now."""

    pid = 1

    def __init__(self, folder: Path, saves: Any) -> None:
        self.folder = folder
        self.saves = saves
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1

    def close(self, timeout_s: float) -> bool:
        return True

    def write(self) -> bool:
        return writer.write_next(self.folder)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shared memory of the test's own."""
    path = tmp_path / "shm"
    path.mkdir()
    monkeypatch.setattr(folders, "SHARED_MEMORY", path)
    return path


@pytest.fixture
def by_hand(shared: Path, monkeypatch: pytest.MonkeyPatch) -> list[LinkByHand]:
    """The links that were made."""
    links: list[LinkByHand] = []

    def make(folder: Path, saves: Any) -> LinkByHand:
        links.append(LinkByHand(folder, saves))
        return links[-1]

    monkeypatch.setattr(saver, "WriterLink", make)

    def tell(result: dict[str, Any]) -> None:
        links[-1].saves.written(result)

    monkeypatch.setattr(writer, "tell", tell)
    return links


class Training:
    """A small model with BatchNorm, an optimizer with state, a schedule, and steps that can be repeated."""

    def __init__(self, width: int = 8, optimizer: Any = torch.optim.Adam) -> None:
        torch.manual_seed(3)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(width, width), torch.nn.BatchNorm1d(width), torch.nn.Dropout(0.2)
        )
        self.optimizer = optimizer(self.model.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)
        self.width = width

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.model(torch.randn(4, self.width)).square().sum().backward()
        self.optimizer.step()
        self.scheduler.step()

    def save(self, checkpoints: Any, step: int, **more: Any) -> Path:
        return checkpoints.save(
            self.model, self.optimizer, epoch=0, step=step, scheduler=self.scheduler, **more
        )


def same(one: Any, other: Any) -> bool:
    """Bit for bit, with types, through containers."""
    if isinstance(one, torch.Tensor):
        return (
            isinstance(other, torch.Tensor)
            and (one.dtype, one.shape, one.layout) == (other.dtype, other.shape, other.layout)
            and _bits(one) == _bits(other)
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def _bits(tensor: Any) -> bytes:
    dense = tensor.to_dense() if tensor.layout is not torch.strided else tensor
    dense = dense.resolve_conj().resolve_neg().contiguous()
    return bytes(dense.reshape(-1).view(torch.uint8).tolist())


def names_in(folder: Path) -> list[str]:
    """What stands in a folder."""
    return sorted(path.name for path in folder.iterdir())
