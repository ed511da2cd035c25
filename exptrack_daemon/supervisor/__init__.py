"""The daemon as a whole: run it here, start or stop it in the background, ask it, recover without it."""

from exptrack_daemon.supervisor.client import recover, request_replay, start_detached, status, stop
from exptrack_daemon.supervisor.foreground import run_daemon

__all__ = ["recover", "request_replay", "run_daemon", "start_detached", "status", "stop"]
