"""What goes wrong between us and wandb's service process."""

from __future__ import annotations

from exptrack_daemon.errors import SinkUnavailable


class WorkerMustRestart(SinkUnavailable):
    """wandb cannot be healed within this process: leave it, and begin again in a new one."""

    restart_worker = True
