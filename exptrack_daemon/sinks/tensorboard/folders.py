"""Which folder a run has: PROJECT/NAME, claimed by a file that holds the run's id.

The claim is made with O_EXCL, so that of two runs of one name exactly one gets the folder; the other goes to
NAME_RUNID. A claim that a crash left empty counts as somebody else's.

A run that asks for a place of its own (see `options`) has its claim and its files there; PROJECT/NAME then
holds nothing but a claim and the path of that place, so that readers need to know one root only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from exptrack_daemon.files import OsFiles, replace_durably
from exptrack_daemon.home import folder_name, make_private
from exptrack_daemon.journal.entries import RunInfo
from exptrack_daemon.sinks.tensorboard.options import Place

CLAIM = "exptrack.run"
ELSEWHERE = "exptrack.elsewhere"
_MOST_CANDIDATES = 100
_USUAL = Place()


def file_name(run: RunInfo) -> str:
    """The name of every event file of a run: TensorBoard wants `tfevents` in it; no clock, host or pid."""
    seconds = run.created_ns // 1_000_000_000
    return f"events.out.tfevents.{seconds:010d}.exptrack.{folder_name(run.run_id)}"


def find_folder(root: Path, run: RunInfo) -> Path | None:
    """The folder with the run's files, found from TensorBoard's `--logdir`; None when it has none."""
    claimed = _find_claimed(_candidates(root, run), run)
    if claimed is None:
        return None
    place = _elsewhere(claimed)
    if place is None:
        return claimed
    return place if holder(place) == run.run_id else None


def _find_claimed(candidates: Iterator[Path], run: RunInfo) -> Path | None:
    for number, folder in enumerate(candidates):
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
    return _claim_below(root, run, _USUAL)


def claim_place(root: Path, run: RunInfo, place: Place) -> Path:
    """Find or make the folder that the run asked for, and leave its path where readers look.

    Raises:
        OSError, HomeUnusable: as for `claim_folder`.
    """
    if place.is_usual:
        return claim_folder(root, run)
    folder = _claim_below(place.directory or root, run, place)
    here = claim_folder(root, run)
    if here != folder and _elsewhere(here) != folder:
        replace_durably(OsFiles(), here / ELSEWHERE, os.fsencode(folder))
    return folder


def _claim_below(root: Path, run: RunInfo, place: Place) -> Path:
    # Only the folders below are ours: `root` may be a place that the user shares with others.
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_right_below(place):
        make_private(root / folder_name(run.project))
    if (found := _find_claimed(_candidates(root, run, place), run)) is not None:
        make_private(found)
        return found
    for folder in _candidates(root, run, place):
        make_private(folder)
        if _claim(folder / CLAIM, run.run_id):
            return folder
    raise FileExistsError(f"{folder_name(run.name)} and its further names belong to other runs")


def _candidates(root: Path, run: RunInfo, place: Place = _USUAL) -> Iterator[Path]:
    parent = root if _is_right_below(place) else root / folder_name(run.project)
    name = place.folder or run.name
    yield parent / folder_name(name)
    own = folder_name(f"{name}_{run.run_id}")
    yield parent / own
    for number in range(2, _MOST_CANDIDATES):
        yield parent / f"{own}_{number}"


def _is_right_below(place: Place) -> bool:
    return place.directory is not None and place.folder is not None


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


def _elsewhere(claimed: Path) -> Path | None:
    """The place that a claimed folder points to; None when the files stand in it."""
    try:
        return Path(os.fsdecode((claimed / ELSEWHERE).read_bytes()))
    except FileNotFoundError:
        return None


def holder(folder: Path) -> str | None:
    """Whose folder it is; "" when nobody can tell, None when it is free."""
    try:
        return (folder / CLAIM).read_text("utf-8", "replace")
    except FileNotFoundError:
        return None
