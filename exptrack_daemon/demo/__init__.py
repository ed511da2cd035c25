"""`exptrack demo`: a real training with everything on, read back from everywhere, and where to look."""

from exptrack_daemon.demo.tour import run

__all__ = ["run"]
