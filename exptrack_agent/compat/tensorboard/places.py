"""From a `log_dir` to a run: its project, its name, the folder of its event files, and whether it goes on.

A second writer in the same folder goes on with the run of the first, as a new attempt: TensorBoard then shows
both as one, which is what a script that restarts with the same `log_dir` wants. The folder's own mark, which
the daemon leaves there with the event files, says whose it is; so a folder that was removed is a new start.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exptrack_agent.settings import home_path, host_name
from exptrack_proto.frame import RUN_ID

_MARK = "exptrack.run"

_begun: dict[Path, str] = {}
"""By folder, the run that this process began there: the daemon's mark may not be there yet."""


def default_log_dir(comment: str) -> str:
    """As `SummaryWriter` names it: runs/DATE_HOST and the comment."""
    stamp = time.strftime("%b%d_%H-%M-%S")
    return str(Path("runs", f"{stamp}_{host_name()}{comment}"))


def run_options(log_dir: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `init` for a writer in this folder; what was given goes before."""
    folder = Path(log_dir).expanduser().absolute()
    options: dict[str, Any] = {
        "project": folder.parent.name or "tensorboard",
        "name": folder.name,
        "sink_options": {"tensorboard": {"directory": str(folder.parent), "folder": folder.name}},
    }
    going_on = None if "run_id" in given else _run_in(folder, given.get("home"))
    if going_on is not None:
        options |= {"run_id": going_on, "resume": "allow"}
    return {**options, **given}


def remember(log_dir: str, run_id: str) -> None:
    """This folder has this run from now on."""
    _begun[Path(log_dir).expanduser().absolute()] = run_id


def _run_in(folder: Path, home: Any) -> str | None:
    """The run whose folder it is, if this home has it."""
    try:
        marked = (folder / _MARK).read_text("utf-8", "replace").strip()
    except OSError:
        return _begun.get(folder) if not folder.exists() else None
    is_ours = RUN_ID.fullmatch(marked) and (home_path(home) / "runs" / marked).is_dir()
    return marked if is_ours else None
