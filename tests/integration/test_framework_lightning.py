"""Lightning's real Trainer with our Logger, on a model of nine numbers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

import exptrack_agent as xt
from exptrack_agent.integrations.lightning import ExptrackLogger
from tests.unit.integrations.reading import Kept, recovered

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:lightning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning"),
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
]


class Net(LightningModule):
    def __init__(self, width: int = 2, fails_at: int = -1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Linear(width, 1))
        self.fails_at = fails_at
        self.example_input_array = torch.zeros(1, 2)

    def forward(self, x: Any) -> Any:
        return self.layers(x)

    def training_step(self, batch: Any, index: int) -> Any:
        if index == self.fails_at:
            raise RuntimeError("a training step that breaks")
        loss = self(batch[0]).square().mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self(batch[0]).square().mean())

    def test_step(self, batch: Any, index: int) -> None:
        self.log("test_loss", self(batch[0]).square().mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def data() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.arange(16.0).reshape(8, 2)), batch_size=2)


def trainer(logger: Any, folder: Path, *callbacks: Any) -> Trainer:
    return Trainer(
        max_epochs=2,
        logger=logger,
        callbacks=list(callbacks),
        enable_checkpointing=bool(callbacks),
        default_root_dir=str(folder),
        log_every_n_steps=1,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def only(home: Path) -> Kept:
    (run,) = recovered(home)
    return run


def test_fit_and_test_go_into_one_run_with_their_steps(home: Path, tmp_path: Path):
    logger = ExptrackLogger("lit", home=home, mode="offline", name="wide", log_graph=True)
    model = Net()
    fit = trainer(logger, tmp_path)
    fit.fit(model, data(), data())
    fit.test(model, data(), verbose=False)
    logger.finish()
    run = only(home)
    assert run.view.status.name == "finished"
    assert (run.view.facts.run.project, run.view.facts.run.name) == ("lit", "wide")
    assert [step for step, _ in run.series("train/loss")] == list(range(8))
    assert [step for step, _ in run.series("val_loss")] == [3, 7]
    assert [step for step, _ in run.series("test_loss")] == [8]
    assert run.series("epoch")[0] == (0, 0)
    assert run.config["width"] == 2
    assert len(run.media("Graph")) == 1


def test_checkpoints_are_recorded_once_each_below_project_and_run(home: Path, tmp_path: Path):
    logger = ExptrackLogger("lit", home=home, mode="offline", save_dir=str(tmp_path))
    saver = ModelCheckpoint(monitor="val_loss", save_top_k=1)
    trainer(logger, tmp_path, saver).fit(Net(), data(), data())
    logger.finish()
    run = only(home)
    artifacts = run.view.facts.artifacts
    assert saver.best_model_path in [artifact.path for artifact in artifacts]
    assert Path(saver.best_model_path).parent == tmp_path / "lit" / run.view.id / "checkpoints"
    assert logger.log_dir == str(tmp_path / "lit" / run.view.id)
    assert len(artifacts) == len({artifact.path for artifact in artifacts})
    assert {artifact.type for artifact in artifacts} == {"checkpoint"}
    assert all(artifact.size_bytes > 0 for artifact in artifacts)


def test_an_exception_in_training_makes_the_run_failed_and_another_fit_goes_on_with_it(
    home: Path, tmp_path: Path
):
    logger = ExptrackLogger("lit", home=home, mode="offline")
    with pytest.raises(RuntimeError, match="a training step that breaks"):
        trainer(logger, tmp_path).fit(Net(fails_at=2), data())
    assert only(home).view.status.name == "failed"
    trainer(logger, tmp_path).fit(Net(), data())
    logger.finish()
    run = only(home)
    assert run.view.status.name == "finished"
    assert run.view.facts.attempts == 2
    assert [step for step, _ in run.series("train/loss")] == [0, 1, *range(8)]


def test_a_run_that_was_handed_in_is_not_ended(home: Path, tmp_path: Path):
    run = xt.init("own", home=home, mode="offline")
    logger = ExptrackLogger(run=run, prefix="lit")
    trainer(logger, tmp_path).fit(Net(), data())
    logger.finish()
    assert not run.is_finished
    assert (logger.name, logger.version) == ("own", run.id)
    run.finish()
    assert len(only(home).series("lit/train/loss")) == 8


def test_other_ranks_record_nothing(home: Path, monkeypatch: pytest.MonkeyPatch):
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = ExptrackLogger("lit", home=home, mode="offline")
    logger.experiment.log({"a": 1})
    logger.log_metrics({"a": 1.0}, 0)
    logger.log_hyperparams({"lr": 1})
    assert logger.version is None
    assert recovered(home) == []


def test_a_logger_goes_to_another_process_by_the_id_of_its_run(home: Path):
    logger = ExptrackLogger("lit", home=home, mode="offline")
    logger.log_metrics({"a": 1.0}, 0)
    copy = pickle.loads(pickle.dumps(logger))
    copy.log_metrics({"a": 2.0}, 1)
    copy.finish()
    logger.finish()
    assert sorted(only(home).series("a")) == [(0, 1.0), (1, 2.0)]


def test_hyperparameters_with_metrics_are_for_the_hparams_page(home: Path):
    logger = ExptrackLogger("lit", home=home, mode="offline")
    logger.log_hyperparams({"lr": 0.1}, {"hp/accuracy": 0.9})
    logger.finish()
    (hparams,) = only(home).media("Hparams")
    assert hparams.metrics == '{"hp/accuracy": 0.9}'
