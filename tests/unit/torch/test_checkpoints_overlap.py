"""Copies while the next step computes: done before the optimizer steps, and nothing torn is kept."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from exptrack_agent.torch.checkpoints import Checkpoints
from exptrack_agent.torch.checkpoints.stage import Stage
from tests.unit.torch.checkpoints_by_hand import LinkByHand, Training, by_hand, same, shared

__all__ = ["by_hand", "shared"]


class Gate:
    """Holds up the copies of threads until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        copy_in = Stage.copy_in

        def copy_when_opened(stage: Stage, storage: Any, start: int) -> None:
            if threading.current_thread() is not threading.main_thread():
                assert self.opened.wait(20)
            copy_in(stage, storage, start)

        monkeypatch.setattr(Stage, "copy_in", copy_when_opened)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


def test_the_optimizers_step_waits_and_the_file_holds_the_state_at_the_call(
    tmp_path: Path, by_hand: list[LinkByHand], gate: Gate
) -> None:
    training = Training(256)
    training.step()
    checkpoints = Checkpoints(tmp_path, overlap=True)
    model = {name: value.clone() for name, value in training.model.state_dict().items()}
    moments = [state["exp_avg"].clone() for state in training.optimizer.state.values()]

    path = training.save(checkpoints, 1)
    assert not by_hand[0].write()  # it is not whole yet
    opener = threading.Timer(0.2, gate.opened.set)
    opener.start()
    training.step()
    assert gate.opened.is_set()
    opener.join()
    while not by_hand[0].write():
        assert not checkpoints.wait(0.01)

    state = torch.load(path, weights_only=True)
    assert same(dict(state["model_state_dict"]), model)
    kept = state["optimizer_state_dict"]["state"].values()
    assert same([each["exp_avg"] for each in kept], moments)
    checkpoints.close()


def test_weights_changed_otherwise_cost_the_save_and_it_is_said(
    tmp_path: Path, by_hand: list[LinkByHand], gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    training = Training(256)
    training.step()
    checkpoints = Checkpoints(tmp_path, overlap=True)
    training.save(checkpoints, 1)
    with torch.no_grad():
        training.model[0].weight.add_(1)
    gate.opened.set()
    assert checkpoints.wait(20)
    assert checkpoints.stats()["failed"] == 1
    assert "overlap=False" in caplog.text
    training.step()
    checkpoints.close()


def test_without_an_optimizer_or_with_small_tensors_all_is_copied_now(
    tmp_path: Path, by_hand: list[LinkByHand], gate: Gate
) -> None:
    checkpoints = Checkpoints(tmp_path, overlap=True)
    checkpoints.save(torch.nn.Linear(256, 256), epoch=0, step=0)
    assert by_hand[0].write()
    checkpoints.close()


def test_a_skipped_save_holds_no_step_up(
    tmp_path: Path, by_hand: list[LinkByHand], gate: Gate
) -> None:
    gate.opened.set()
    training = Training(256)
    checkpoints = Checkpoints(tmp_path, overlap=True)
    for step in range(4):
        training.step()
        training.save(checkpoints, step)
    training.step()
    assert checkpoints.stats()["skipped"] == 2
    while by_hand[0].write():
        pass
    checkpoints.close()
