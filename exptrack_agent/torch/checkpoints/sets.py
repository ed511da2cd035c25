"""Sets: a checkpoint whose parts are written by several ranks, each its own file, and a manifest last.

    checkpoint_epoch_E_step_S.SAVE.rank_R_of_W.pt   a rank's part, with its .sha256 beside it
    checkpoint_epoch_E_step_S.set.json              the manifest: all parts by name, digest and size

There is a set when its manifest is there, and it is whole when every part is what the manifest says.
Whichever writer finds all parts of a save written writes the manifest, so none waits for another; a rank that
is killed in the middle leaves parts without a manifest, which nobody takes for a checkpoint. SAVE is the same
on all ranks and never comes again, so parts of two attempts at one step are not mixed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exptrack_agent.torch.checkpoints import files
from exptrack_agent.torch.checkpoints.files import Checkpoint, CheckpointDamaged

FORMAT = 1
_MANIFEST = re.compile(r"checkpoint_epoch_(-?\d{1,19})_step_(-?\d{1,19})\.set\.json", re.ASCII)
_PART = re.compile(
    r"checkpoint_epoch_-?\d{1,19}_step_-?\d{1,19}\.[a-z0-9-]{1,64}\.rank_\d{1,9}_of_\d{1,9}\.pt",
    re.ASCII,
)
_MOST_BYTES = 64 * 1024 * 1024


def manifest_name(epoch: int, step: int) -> str:
    """The file that makes parts a set."""
    return f"checkpoint_epoch_{epoch}_step_{step}.set.json"


def part_name(epoch: int, step: int, save: str, rank: int, world_size: int) -> str:
    """The file of one rank."""
    return f"checkpoint_epoch_{epoch}_step_{step}.{save}.rank_{rank}_of_{world_size}.pt"


def is_manifest(path: Path) -> bool:
    """Whether a path is named like a set's."""
    return _MANIFEST.fullmatch(path.name) is not None


def is_part(path: Path) -> bool:
    """Whether a path is named like a part of a set."""
    return _PART.fullmatch(path.name) is not None


# --- finding ----------------------------------------------------------------------------------------


def listed(folder: Path) -> list[Checkpoint]:
    """Checkpoints and sets of a folder, the newest first. None of them was looked into."""
    found = files.listed(folder)
    for path in sorted(folder.glob("checkpoint_*.set.json")):
        one = _look_at(path) if is_manifest(path) else None
        if one is not None:
            found.append(one)
    return sorted(found, key=lambda one: (one.time_ns, one.step, one.epoch), reverse=True)


def _look_at(path: Path) -> Checkpoint | None:
    matched = _MANIFEST.fullmatch(path.name)
    assert matched is not None
    try:
        changed_ns = path.stat().st_mtime_ns
    except OSError:
        return None
    try:
        manifest = read_manifest(path)
    except FileNotFoundError:
        return None
    except CheckpointDamaged:  # it is there: who wants to go on from it is told why that cannot be
        manifest = {"time_ns": changed_ns, "metrics": {}, "parts": []}
    return Checkpoint(
        path=path,
        epoch=int(matched[1]),
        step=int(matched[2]),
        size_bytes=sum(part["size_bytes"] for part in manifest["parts"]),
        time_ns=manifest["time_ns"],
        sha256="",
        metrics=manifest["metrics"],
        is_pinned=files.pin_of(path).exists(),
    )


def read_manifest(path: Path) -> dict[str, Any]:
    """What a manifest says.

    Raises:
        CheckpointDamaged: it is none.
        FileNotFoundError: it is not there.
    """
    try:
        with path.open("rb") as file:
            manifest = json.loads(file.read(_MOST_BYTES))
        if manifest["format"] > FORMAT:
            raise CheckpointDamaged(
                f"{path} is of format {manifest['format']}, newest known is {FORMAT}"
            )
        numbers = [manifest["time_ns"], manifest["world_size"]]
        parts = [(part["name"], part["sha256"], part["size_bytes"]) for part in manifest["parts"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, CheckpointDamaged):
            raise
        raise CheckpointDamaged(f"{path} is no manifest of a checkpoint: {error!s:.100}") from error
    is_sound = all(type(number) is int for number in numbers) and len(parts) == numbers[1] > 0
    names = [name for name, _, _ in parts if isinstance(name, str) and _PART.fullmatch(name)]
    if not is_sound or len(names) != len(parts) or not isinstance(manifest.get("metrics"), dict):
        raise CheckpointDamaged(f"{path} is no manifest of a checkpoint")
    return dict(manifest)


def check_part(path: Path, manifest: Mapping[str, Any], rank: int) -> Path:
    """Read the part of one rank and compare it with the manifest.

    Returns:
        Its path.

    Raises:
        CheckpointDamaged: it is not there, or not what the manifest says.
    """
    part = manifest["parts"][rank]
    place = path.with_name(part["name"])
    try:
        found = files.digest_of(place)
    except OSError as error:
        raise CheckpointDamaged(f"{place} cannot be read: {error.strerror or error}") from error
    if found != part["sha256"]:
        raise CheckpointDamaged(
            f"{place} is not the file that was written: its sha256 is {found[:12]}…,"
            f" not {part['sha256'][:12]}…"
        )
    return place


def check(path: Path) -> str:
    """Read a checkpoint or a set whole, as `files.check` does.

    Returns:
        The sha256 of the file; of a set, of its manifest.

    Raises:
        CheckpointDamaged: it, or a part of it, is not what was written.
        FileNotFoundError: it is not there.
    """
    if not is_manifest(path):
        return files.check(path)
    manifest = read_manifest(path)
    for rank in range(manifest["world_size"]):
        check_part(path, manifest, rank)
    return files.digest_of(path)


# --- writing and removing ---------------------------------------------------------------------------


def finish(part: Path, order: Mapping[str, Any], about: Mapping[str, Any]) -> Checkpoint | None:
    """Make the parts of a save a set, if all of them are written.

    Args:
        part: the one that was written last.
        order: `epoch`, `step`, `save` and `world_size`.
        about: what a list shows: `time_ns` and `metrics`.

    Returns:
        The set; None while parts are missing.

    Raises:
        OSError: the manifest cannot be written.
    """
    names = [
        part_name(order["epoch"], order["step"], order["save"], rank, order["world_size"])
        for rank in range(order["world_size"])
    ]
    with files.locked(part.parent):
        found = [files.look_at(part.with_name(name)) for name in names]
        parts = [
            {"name": one.path.name, "sha256": one.sha256, "size_bytes": one.size_bytes}
            for one in found
            if one is not None and one.sha256
        ]
        if len(parts) < len(names):
            return None
        manifest = {
            "format": FORMAT,
            "epoch": order["epoch"],
            "step": order["step"],
            "save": order["save"],
            "world_size": order["world_size"],
            **about,
            "parts": parts,
        }
        path = part.with_name(manifest_name(order["epoch"], order["step"]))
        files.write_durably(path, json.dumps(manifest, indent=1).encode())
        _remove_strays(part.parent, about["time_ns"])
    return _look_at(path)


def remove(path: Path) -> None:
    """Remove a checkpoint or a set; of a set the manifest first, so that it is none from then on.

    Raises:
        OSError: it cannot be removed.
    """
    if not is_manifest(path):
        files.remove(path)
        return
    try:
        names = [part["name"] for part in read_manifest(path)["parts"]]
    except (CheckpointDamaged, FileNotFoundError):
        names = []
    path.unlink(missing_ok=True)
    for name in names:
        files.remove(path.with_name(name))


def _remove_strays(folder: Path, before_ns: int) -> None:
    """Parts that are of no set and older than one that is complete: their save was never finished."""
    used: set[str] = set()
    for path in folder.glob("checkpoint_*.set.json"):
        try:
            used.update(part["name"] for part in read_manifest(path)["parts"])
        except (CheckpointDamaged, FileNotFoundError):
            continue
    for path in folder.glob("checkpoint_*.pt"):
        if _PART.fullmatch(path.name) and path.name not in used:
            one = files.look_at(path)
            if one is not None and one.time_ns < before_ns:
                files.remove(path)
