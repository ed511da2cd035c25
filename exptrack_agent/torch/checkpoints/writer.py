"""The process that writes what is staged: `python -P -m exptrack_agent.torch.checkpoints.writer FOLDER PID`.

It is told of news by a byte on its stdin, and tells by a JSON line on its stdout what became of each save. It
looks at nothing but the stages, so it needs no word of a trainer that is gone: when that one has ended,
however it did, it writes what is staged, removes the stages and ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from exptrack_agent.torch.checkpoints import files, folders, sets
from exptrack_agent.torch.checkpoints.files import Checkpoint
from exptrack_agent.torch.checkpoints.retention import Retention
from exptrack_agent.torch.checkpoints.stage import Mark, Staged, claimed, read_staged, set_mark
from exptrack_agent.torch.checkpoints.tree import decode

_READ_BYTES = 4096


def main(folder: Path, owner: int) -> None:
    """Write until the owner is gone; owner 0: it is gone already."""
    try:
        lock = os.open(folder / folders.WRITER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # the writer before this one has done it all
        return
    fcntl.flock(lock, fcntl.LOCK_EX)  # it may still be at its last words
    with _Owner(owner) as trainer:
        while trainer.is_there:
            while write_next(folder):
                pass
            trainer.wait_for_news()
    while write_next(folder, is_orphan=True):
        pass
    if not any(read_staged(path) is not None for path in folders.stages_in(folder)):
        shutil.rmtree(folder, ignore_errors=True)


def write_next(folder: Path, *, is_orphan: bool = False) -> bool:
    """Write the oldest save that is staged; False when there is none.

    When nobody is there to hear that it could not be written, it stays for another try.
    """
    found = [one for path in folders.stages_in(folder) if (one := read_staged(path)) is not None]
    if not found:
        return False
    oldest = min(found, key=lambda one: one.number)
    with claimed(oldest.path):
        staged = read_staged(oldest.path)
        if staged is None or staged.number != oldest.number:
            return True  # a newer save took its place
        result = _written(staged)
        if is_orphan and "problem" in result:
            return False
        set_mark(staged.path, Mark.DONE)  # before it is told: then the stage is the trainer's again
    tell({"number": staged.number, **result})
    return True


def tell(result: dict[str, Any]) -> None:
    """Say what became of a save; nobody may be there to hear it."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(result).encode() + b"\n")


def _written(staged: Staged) -> dict[str, Any]:
    path = Path(staged.order["path"])
    try:
        written = write(staged, path)
    except Exception as error:  # noqa: BLE001  # the top of this process's work: told, and on to the next
        return {"path": str(path), "problem": _in_words(error)}
    result = {
        "path": str(path),
        "sha256": written.sha256,
        "size_bytes": written.size_bytes,
        "step": written.step,
        "epoch": written.epoch,
        "metrics": written.metrics,
    }
    retention = Retention(**staged.order["retention"])
    try:
        whole = _finished(staged, written, retention, result)
    except (OSError, files.CheckpointDamaged) as error:
        return {"path": str(path), "problem": _in_words(error)}
    try:
        if whole is not None:
            _retain(retention, whole)
    except (OSError, files.CheckpointDamaged) as error:
        result["retention_problem"] = _in_words(error)
    return result


def _finished(
    staged: Staged, written: Checkpoint, retention: Retention, result: dict[str, Any]
) -> Checkpoint | None:
    """What is a checkpoint now: the file, or the set that it was the last part of; None while parts lack."""
    order = staged.order.get("set")
    if order is None:
        return written
    if retention.lets_go:
        files.check(written.path)  # each rank reads its part back, before an older set goes for it
    whole = sets.finish(written.path, order, staged.order["about"])
    result.update(step=order["step"], epoch=order["epoch"])
    if whole is not None:
        sha256, size = files.digest_of(whole.path), whole.path.stat().st_size
        result["set"] = {"path": str(whole.path), "sha256": sha256, "size_bytes": size}
    return whole


def write(staged: Staged, path: Path) -> Checkpoint:
    """Make the file of what is staged."""
    state = decode(staged.order["tree"], staged.storages(staged.order["sizes"]))
    files.remove_leftovers(path.parent)
    return files.write_checkpoint(path, lambda file: torch.save(state, file), staged.order["about"])


def _retain(retention: Retention, written: Checkpoint) -> None:
    with files.locked(written.path.parent):
        going = retention.dispensable(sets.listed(written.path.parent), written)
        if not going:
            return
        if not sets.is_manifest(written.path):
            files.check(written.path)  # read back, before another one is given up for it
        for one in going:
            sets.remove(one.path)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"[:300]


class _Owner:
    """The trainer: whether it is there, and what it has to say."""

    def __init__(self, pid: int) -> None:
        self._descriptor = -1
        self._poll = select.poll()
        if pid:
            with contextlib.suppress(OSError):
                self._descriptor = os.pidfd_open(pid)
        self.is_there = self._descriptor >= 0 and os.getppid() == pid
        if self.is_there:
            self._poll.register(self._descriptor, select.POLLIN)
            self._poll.register(0, select.POLLIN)

    def wait_for_news(self) -> None:
        """Wait until it says something, or is gone; what it staged can then be seen."""
        ready = [descriptor for descriptor, _ in self._poll.poll()]
        has_closed = 0 in ready and not os.read(0, _READ_BYTES)
        self.is_there = not has_closed and self._descriptor not in ready

    def __enter__(self) -> _Owner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
