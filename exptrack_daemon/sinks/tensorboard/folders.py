"""Which folder a run has: PROJECT/NAME, claimed by a file that holds the run's id.

The claim is made with O_EXCL, so that of two runs of one name exactly one gets the folder; the other goes to
NAME_RUNID. A claim that a crash left empty counts as somebody else's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from exptrack_daemon.home import folder_name, make_private
from exptrack_daemon.journal.entries import RunInfo

CLAIM = "exptrack.run"
_MOST_CANDIDATES = 100


def file_name(run: RunInfo) -> str:
    """The name of every event file of a run: TensorBoard wants `tfevents` in it; no clock, host or pid."""
    seconds = run.created_ns // 1_000_000_000
    return f"events.out.tfevents.{seconds:010d}.exptrack.{folder_name(run.run_id)}"


def find_folder(root: Path, run: RunInfo) -> Path | None:
    """The folder that the run has claimed below TensorBoard's `--logdir`, if it has one."""
    for number, folder in enumerate(_candidates(root, run)):
        found = holder(folder)
        if found == run.run_id:
            return folder
        # The plain name may be free again since its run was removed; past the second, free means the end.
        if found is None and number > 0:
            return None
    return None


def claim_folder(root: Path, run: RunInfo) -> Path:
    """Find the run's folder, or make it.

    Raises:
        OSError: it cannot be made now.
        HomeUnusable: something on the way is a link, or belongs to somebody else.
    """
    # Only the folders below are ours: `root` may be a place that the user shares with others.
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_private(root / folder_name(run.project))
    if (found := find_folder(root, run)) is not None:
        make_private(found)
        return found
    for folder in _candidates(root, run):
        make_private(folder)
        if _claim(folder / CLAIM, run.run_id):
            return folder
    raise FileExistsError(f"{folder_name(run.name)} and its further names belong to other runs")


def _candidates(root: Path, run: RunInfo) -> Iterator[Path]:
    project = root / folder_name(run.project)
    yield project / folder_name(run.name)
    own = folder_name(f"{run.name}_{run.run_id}")
    yield project / own
    for number in range(2, _MOST_CANDIDATES):
        yield project / f"{own}_{number}"


def _claim(path: Path, run_id: str) -> bool:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, run_id.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        _sync(folder)
    return True


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def holder(folder: Path) -> str | None:
    """Whose folder it is; "" when nobody can tell, None when it is free."""
    try:
        return (folder / CLAIM).read_text("utf-8", "replace")
    except FileNotFoundError:
        return None
