"""Where stages stand, and who owns them: a folder for each `Checkpoints` of each process.

    /dev/shm/exptrack-checkpoints-UID/TARGET-PID-NONCE/   TARGET: digest of the folder that is saved into
        owner.lock    record lock of the trainer: gone with it, not inherited by fork
        writer.lock   held by the process that writes
        writer.log    its last words
        stage-0, stage-1

Where shared memory has no room the folder stands in `.staging` beside the checkpoints.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from exptrack_agent.blackbox import make_private_folder
from exptrack_agent.locks import is_held

SHARED_MEMORY = Path("/dev/shm")  # memory, and checked to be ours
OWNER_LOCK = "owner.lock"
WRITER_LOCK = "writer.lock"
WRITER_LOG = "writer.log"
_own: set[Path] = set()
"""Folders of this process: its own record locks do not keep it out."""


def roots_for(target: Path) -> list[Path]:
    """Where stages of a target may stand, the best first."""
    shared = SHARED_MEMORY / f"exptrack-checkpoints-{os.getuid()}"
    return [shared, target / ".staging"]


class StageFolder:
    """The trainer's folder of stages.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, root: Path, target: Path) -> None:
        make_private_folder(root)
        _check_private(root)
        self.path = root / f"{_key(target)}-{os.getpid()}-{secrets.token_hex(4)}"
        self.path.mkdir(mode=0o700)
        _own.add(self.path)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._lock = os.open(self.path / OWNER_LOCK, flags, 0o600)
        fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def let_go(self) -> None:
        """From now on it is the writer's alone."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1
        _own.discard(self.path)


def stages_in(folder: Path) -> list[Path]:
    """The files of a folder's stages."""
    with contextlib.suppress(OSError):
        return sorted(folder.glob("stage-*"))
    return []


def orphans_of(target: Path) -> list[Path]:
    """Folders of stages for this target whose trainer is gone."""
    return [path for root in roots_for(target) for path in _orphans_in(root, f"{_key(target)}-*")]


def sweep(target: Path) -> None:
    """Remove what trainers that are gone left for any target, if nothing in it waits to be written."""
    from exptrack_agent.torch.checkpoints.stage import read_staged

    for path in _orphans_in(roots_for(target)[0], "*-*-*"):
        is_staged = any(read_staged(stage) is not None for stage in stages_in(path))
        if not is_staged and not is_being_written(path):
            shutil.rmtree(path, ignore_errors=True)


def is_being_written(path: Path) -> bool:
    """Whether a writer is at work in a folder."""
    return is_held(path / WRITER_LOCK)


def _orphans_in(root: Path, pattern: str) -> Iterator[Path]:
    if not _is_private(root):
        return
    for path in sorted(root.glob(pattern)):
        if path not in _own and not _is_owned(path):
            yield path


def _is_owned(path: Path) -> bool:
    try:
        descriptor = os.open(path / OWNER_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return path.exists() and not any(path.iterdir())  # just being made, or just being removed
    except OSError:
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _key(target: Path) -> str:
    return hashlib.sha256(os.fsencode(target)).hexdigest()[:16]


def _check_private(root: Path) -> None:
    if not _is_private(root):
        raise PermissionError(0, f"{root} is not a folder of this user alone")


def _is_private(root: Path) -> bool:
    try:
        status = root.lstat()
    except OSError:
        return False
    is_folder = stat.S_ISDIR(status.st_mode)
    return is_folder and status.st_uid == os.getuid() and not status.st_mode & 0o022
