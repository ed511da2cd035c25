"""Weights & Biases, through its real library.

What stands where: settings (daemon.toml), names, rows, media, artifacts, told, refusals (pure: entries to
what W&B is told), process, session (wandb itself), offline_log, readback, server, witness (what W&B really
holds), awaiting (what may be settled), opened, sink (all of it together).
"""

from __future__ import annotations

import os

from exptrack_daemon.sinks.base import RunInfo, SavedState, Sink, SinkContext
from exptrack_daemon.sinks.wandb.process import load_wandb
from exptrack_daemon.sinks.wandb.settings import find_destination, read_settings
from exptrack_daemon.sinks.wandb.sink import WandbSink

__all__ = ["open_sink"]


def open_sink(run: RunInfo, context: SinkContext, saved: SavedState | None) -> Sink:
    settings = read_settings(context.settings)
    # wandb's own variables, read at this one place: users keep their key there.
    destination = find_destination(settings, os.environ, begun_as=(saved or {}).get("mode"))
    wandb = load_wandb(context.home)
    return WandbSink(run, context, settings, destination, wandb=wandb, saved=saved)
