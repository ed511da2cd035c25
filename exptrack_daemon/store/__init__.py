"""What readers read: the catalogue, and the journals behind it. `open_home` is the door."""

from exptrack_daemon.store.reader import HomeReader, Point, RunView, SinkState, open_home

__all__ = ["HomeReader", "Point", "RunView", "SinkState", "open_home"]
