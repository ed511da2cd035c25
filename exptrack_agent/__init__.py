"""exptrack's agent: what training code imports. Light, and never in the way.

import exptrack_agent as xt

with xt.init(project="mnist", config={"lr": 1e-3}) as run:
    for step, batch in enumerate(loader):
        run.log({"train/loss": loss, "lr": lr}, step=step)
"""

from exptrack_agent.errors import ExptrackAgentError, Misuse, RunNotFound
from exptrack_agent.media import Figure, Histogram, Image, Table, Text
from exptrack_agent.run import Run
from exptrack_agent.start import init
from exptrack_agent.version import __version__

__all__ = [
    "ExptrackAgentError",
    "Figure",
    "Histogram",
    "Image",
    "Misuse",
    "Run",
    "RunNotFound",
    "Table",
    "Text",
    "__version__",
    "init",
]
