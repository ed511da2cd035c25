"""Code as users write it, for mypy alone. Lines that end in `# wrong` must be refused, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import reveal_type

import exptrack_agent as xt

config = xt.ExperimentConfig(
    experiment_name="mnist",
    tags=["a", "b"],
    log_interval=10,
    tensorboard_dir=Path("runs"),
    metric_names={"tensorboard": {"train/loss": "Loss"}},
)
reveal_type(xt.ExperimentConfig.preset("Full Tracking", log_interval=3))
xt.ExperimentConfig(log_interval="ten")  # wrong
xt.ExperimentConfig(log_intervall=10)  # wrong
xt.ExperimentConfig("mnist")  # wrong
config.log_interval = 3  # wrong
typo = xt.ExperimentTrackr  # wrong

with xt.ExperimentTracker(config, home="home", seeds={"data": 3}) as tracker:
    tracker.log_training_step(loss=0.5, accuracy=0.9, perplexity=3.0, step=7)
    tracker.log_training_step(**xt.TrainingMetrics(loss=0.5).values())
    tracker.log_training_step(loss=0.5, step="7")  # wrong
    tracker.log_training_step(0.5)  # wrong
    tracker.log_epoch(1, {"val_loss": 0.5})
    tracker.log_images({"a": object()}, step=1)
    tracker.log_text("note", "text")
    reveal_type(tracker.get_experiment_summary())
    reveal_type(tracker.load_checkpoint())
    reveal_type(tracker.save_checkpoint(object(), object(), 1, 2, 0.5, {"a": 1.0}))
    reveal_type(tracker.current_step)
    tracker.current_step = 5  # wrong
    for panel, data in tracker.create_visualization("x.png").items():
        assert data["points"], panel

history = xt.ConfigHistory("configs")
for version in history.list():
    assert not history.diff(version.id), (version.who, version.changed)
for name, preset in xt.DEFAULT_CONFIGS.items():
    assert preset.sinks, name
xt.DEFAULT_CONFIGS["x"] = config  # wrong
