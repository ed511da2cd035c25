"""The tracker over a real model: gradients, architecture, checkpoints, through `exptrack_agent.torch`."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from torch import nn

import exptrack_agent as xt
from exptrack_daemon.home import Home
from exptrack_daemon.sinks.tensorboard.folders import find_folder
from exptrack_daemon.sinks.tensorboard.readback import count_points
from exptrack_daemon.store.reader import open_home
from tests.support.processes import Daemon, wait_until


def trained(tracker: xt.ExperimentTracker) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.randn(16, 4), torch.randint(0, 2, (16,))
    described = tracker.log_model_architecture(model, x)
    assert described["parameters"] == 4 * 8 + 8 + 8 * 2 + 2
    for step in range(6):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        tracker.log_gradients(model, step=step)
        optimizer.step()
        tracker.log_training_step(loss=loss, step=step, epoch=0)
    return model, optimizer


def test_gradients_and_architecture_stand_in_tensorboard(daemon: Daemon, home: Path):
    config = xt.ExperimentConfig.preset("Full Tracking", enable_wandb=False, log_interval=2)
    with xt.ExperimentTracker(config, home=home) as tracker:
        trained(tracker)

    def counted() -> dict[str, int]:
        # A busy machine's daemon takes a moment.
        if tracker.run.id not in open_home(home).run_ids():
            return {}
        run = open_home(home).find(tracker.run.id).facts.run
        folder = find_folder(Home(home).tensorboard, run)
        counts = count_points(folder) if folder is not None else {}
        return counts if counts.get("Loss/Train") == 3 else {}

    counts = wait_until(counted, 30, "TensorBoard has the run")
    assert counts["Gradients/Norm"] == 3
    assert counts["Numerical_Stability/NaN_Count"] == 3
    assert counts["gradients/norm/0.weight"] == 3


def test_training_goes_on_from_a_checkpoint(home: Path, tmp_path: Path):
    importlib.import_module("exptrack_agent.torch.checkpoints")
    config = xt.ExperimentConfig(model_save_dir=tmp_path / "models")
    with xt.ExperimentTracker(config, home=home, mode="offline") as tracker:
        model, optimizer = trained(tracker)
        path = tracker.save_checkpoint(
            model, optimizer, 0, 5, torch.tensor(0.5), {"accuracy": 0.75}
        )
    assert path == tmp_path / "models" / "checkpoint_epoch_0_step_5.pt"
    with xt.ExperimentTracker(config, home=home, mode="offline") as again:
        loaded = again.load_checkpoint(path)
        assert loaded is not None
        assert (loaded.epoch, loaded.step, loaded.loss, loaded.metrics) == (
            0,
            5,
            0.5,
            {"accuracy": 0.75},
        )
        model.load_state_dict(loaded.model_state)
        optimizer.load_state_dict(loaded.optimizer_state)
        assert (again.current_step, again.current_epoch) == (5, 0)
        assert again.load_checkpoint() is not None
    with xt.ExperimentTracker(config, home=home, mode="offline") as third:
        before = [parameter.clone() for parameter in model.parameters()]
        for parameter in model.parameters():
            parameter.data.zero_()
        restored = third.restore_checkpoint(model, optimizer)
        assert restored is not None
        assert (restored.step, third.current_step) == (5, 5)
        assert all(map(torch.equal, before, model.parameters()))
