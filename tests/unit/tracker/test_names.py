"""The tables of names: whole, without two metrics of one name, in each backend."""

from __future__ import annotations

from exptrack_agent.tracker.names import CANONICAL, TABLES, TENSORBOARD, table_for
from exptrack_daemon.sinks.shown_names import ShownNames


def test_tensorboard_shows_every_metric_under_its_own_name():
    shown = [ShownNames(TENSORBOARD).shown(name) for name in CANONICAL.values()]
    assert len(set(shown)) == len(CANONICAL)
    assert shown[:4] == ["Loss/Train", "Accuracy/Train", "Learning_Rate", "Gradients/Norm"]
    assert ShownNames(TENSORBOARD).shown("epoch/val_loss") == "Epoch/val_loss"
    assert ShownNames(TENSORBOARD).shown("train/other") == "train/other"


def test_wandb_shows_the_canonical_names():
    shown = ShownNames(table_for("wandb", {}))
    assert [shown.shown(name) for name in CANONICAL.values()] == list(CANONICAL.values())


def test_every_sink_of_a_configuration_has_a_table():
    assert set(TABLES) == {"tensorboard", "wandb"}
