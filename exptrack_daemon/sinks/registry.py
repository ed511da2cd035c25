"""Sinks by name, as installed packages offer them under the entry point `exptrack.sinks`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import cast

from exptrack_daemon.errors import ConfigInvalid, SinkBroken
from exptrack_daemon.sinks.base import OpenSink

GROUP = "exptrack.sinks"


def sink_names() -> tuple[str, ...]:
    """All sinks that are installed, usable or not."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def find_sink(name: str) -> OpenSink:
    """The function that opens a sink.

    Raises:
        ConfigInvalid: no package offers it.
        SinkBroken: importing it failed; the message says what to install.
    """
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if not points:
        raise ConfigInvalid(f"there is no sink {name!r}; installed are {', '.join(sink_names())}")
    try:
        return cast("OpenSink", points[0].load())
    except ImportError as error:
        raise SinkBroken(f"{error}; try `pip install 'exptrack[{name}]'`") from error
