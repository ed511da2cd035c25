"""The command line: one file a group of verbs. `render` and `machine` are pure, the rest is shell."""

from exptrack_daemon.cli.frame import app

__all__ = ["app"]
