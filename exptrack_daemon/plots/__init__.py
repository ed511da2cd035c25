"""Pictures of runs, drawn from a home folder.

    from exptrack_daemon.plots import figure, render
    from exptrack_daemon.store import open_home

    png = render(open_home(), "metrics", ["latest"], metrics=["val/*"], theme="dark")

One module a kind: `read` takes its data from the store, `draw` makes matplotlib's Figure of it and is pure.
matplotlib is loaded with the first picture.
"""

from exptrack_daemon.plots.kinds import FORMATS, KINDS, THEMES, Kind, figure, read, render
from exptrack_daemon.plots.options import NothingToDraw, Options, PlotRefused

__all__ = [
    "FORMATS",
    "KINDS",
    "THEMES",
    "Kind",
    "NothingToDraw",
    "Options",
    "PlotRefused",
    "figure",
    "read",
    "render",
]
