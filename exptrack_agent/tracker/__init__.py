"""`ExperimentTracker`: a configuration, training's vocabulary, checkpoints and a picture, over one `Run`."""

from exptrack_agent.tracker.config import DEFAULT_CONFIGS, ExperimentConfig
from exptrack_agent.tracker.history import Change, ConfigHistory, Version
from exptrack_agent.tracker.metrics import ModelCheckpoint, TrainingMetrics
from exptrack_agent.tracker.pictures import Visualization
from exptrack_agent.tracker.tracker import ExperimentTracker

__all__ = [
    "DEFAULT_CONFIGS",
    "Change",
    "ConfigHistory",
    "ExperimentConfig",
    "ExperimentTracker",
    "ModelCheckpoint",
    "TrainingMetrics",
    "Version",
    "Visualization",
]
