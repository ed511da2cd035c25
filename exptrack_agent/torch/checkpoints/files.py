"""Checkpoints as files: their names, what stands beside them, writing, finding and checking them.

    checkpoint_epoch_E_step_S.pt          what `torch.load(path, weights_only=True)` opens
    checkpoint_epoch_E_step_S.pt.sha256   its digest, for `sha256sum -c`, and a comment for lists
    checkpoint_epoch_E_step_S.pt.pinned   empty; retention leaves the file alone

The digest is there before the file is. When a file of the same name is replaced, its digest file names both
for that moment, so that whichever file a crash leaves is found whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from exptrack_agent.errors import ExptrackAgentError

_NAME = re.compile(r"checkpoint_epoch_(-?\d{1,19})_step_(-?\d{1,19})\.pt", re.ASCII)
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_COMMENT = "# exptrack "
_TEMPORARY = re.compile(r"\.checkpoint_.*\.(\d+)\.tmp", re.ASCII)
_MOST_SIDECAR_BYTES = 1024 * 1024
_READ_BYTES = 4 * 1024 * 1024


class CheckpointDamaged(ExptrackAgentError, ValueError):
    """A checkpoint that is not whole, or that holds what no checkpoint may; nothing of it was run."""


class Checkpoint(NamedTuple):
    """A checkpoint on disk, as its name and its digest file tell.

    Attributes:
        path: the file.
        epoch: epochs begun.
        step: training steps done.
        size_bytes: of the file.
        time_ns: when it was saved, Unix time.
        sha256: its digest; "" when none stands beside it.
        metrics: numbers at that step, `loss` among them.
        is_pinned: whether retention leaves it alone.
    """

    path: Path
    epoch: int
    step: int
    size_bytes: int
    time_ns: int
    sha256: str
    metrics: dict[str, float]
    is_pinned: bool


def file_name(epoch: int, step: int) -> str:
    """The file of a checkpoint."""
    return f"checkpoint_epoch_{epoch}_step_{step}.pt"


# --- finding ----------------------------------------------------------------------------------------


def listed(folder: Path) -> list[Checkpoint]:
    """The checkpoints of a folder, the newest first. None of them was looked into."""
    try:
        names = [entry.name for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]
    except OSError:  # none was saved yet
        return []
    found = [one for name in names if (one := look_at(folder / name)) is not None]
    return sorted(found, key=lambda one: (one.time_ns, one.step, one.epoch), reverse=True)


def look_at(path: Path) -> Checkpoint | None:
    """What is known of a checkpoint without reading it; None when it is not there."""
    matched = _NAME.fullmatch(path.name)
    try:
        status = path.stat()
    except OSError:
        return None
    digests, about = _beside(path)
    metrics, time_ns = about.get("metrics"), about.get("time_ns")
    return Checkpoint(
        path=path,
        epoch=int(matched[1]) if matched else 0,
        step=int(matched[2]) if matched else 0,
        size_bytes=status.st_size,
        time_ns=time_ns if type(time_ns) is int else status.st_mtime_ns,
        sha256=digests[0] if digests else "",
        metrics=metrics if isinstance(metrics, dict) else {},
        is_pinned=pin_of(path).exists(),
    )


def digest_file_of(path: Path) -> Path:
    """Where the digest of a checkpoint stands."""
    return path.with_name(path.name + ".sha256")


def pin_of(path: Path) -> Path:
    """The file whose presence pins a checkpoint."""
    return path.with_name(path.name + ".pinned")


def _beside(path: Path) -> tuple[list[str], dict[str, Any]]:
    """The digests that a checkpoint may have, the new one first, and what else is told of it."""
    try:
        with digest_file_of(path).open("rb") as file:
            lines = file.read(_MOST_SIDECAR_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return [], {}
    matched = (_LINE.fullmatch(line) for line in lines)
    digests = [match[1] for match in matched if match and match[2] == path.name]
    about: Any = {}
    for line in lines:
        if line.startswith(_COMMENT):
            with contextlib.suppress(ValueError, RecursionError):
                about = json.loads(line.removeprefix(_COMMENT))
    return digests, about if isinstance(about, dict) else {}


# --- checking ---------------------------------------------------------------------------------------


def check(path: Path) -> str:
    """Read a checkpoint whole and compare it with its digest, or with the zip's own sums when there is none.

    Returns:
        Its sha256.

    Raises:
        CheckpointDamaged: it is not what was written.
        FileNotFoundError: it is not there.
    """
    try:
        found = digest_of(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CheckpointDamaged(f"{path} cannot be read: {error.strerror or error}") from error
    digests, _ = _beside(path)
    if not digests and digest_file_of(path).exists():
        raise CheckpointDamaged(f"{digest_file_of(path)} holds no digest of {path.name}")
    if digests and found not in digests:
        raise CheckpointDamaged(
            f"{path} is not the file that was written: its sha256 is {found[:12]}…, not {digests[0][:12]}…"
        )
    if not digests:
        _check_zip(path)
    return found


def digest_of(path: Path) -> str:
    """The sha256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise CheckpointDamaged(f"{path} is no whole checkpoint: {error}") from error
    if broken is not None:
        raise CheckpointDamaged(f"{path} is damaged: {broken} does not have its sum")


# --- writing ----------------------------------------------------------------------------------------


class DigestingFile:
    """A file that is only written to, and knows the digest of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: Any) -> int:
        """Take some bytes."""
        self._sha256.update(data)
        self._file.write(data)
        length = memoryview(data).nbytes
        self.size += length
        return length

    def flush(self) -> None:
        """Hand everything to the system."""
        self._file.flush()

    @property
    def sha256(self) -> str:
        """The digest so far."""
        return self._sha256.hexdigest()


def write_checkpoint(
    path: Path, save: Callable[[DigestingFile], object], about: Mapping[str, Any]
) -> Checkpoint:
    """Write a checkpoint so that at any moment a reader, or a crash, finds the old file or the new, whole.

    Args:
        path: where; its folder is made.
        save: writes the file's bytes.
        about: what a list shows of it, as JSON.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _created(temporary) as file:
            digesting = DigestingFile(file)
            save(digesting)
            file.flush()
            os.fsync(file.fileno())
        with locked(path.parent):
            _commit(temporary, path, digesting.sha256, about)
    finally:
        temporary.unlink(missing_ok=True)
    written = look_at(path)
    if written is None:
        raise FileNotFoundError(0, f"{path} was removed as soon as it was written")
    return written


def _commit(temporary: Path, path: Path, sha256: str, about: Mapping[str, Any]) -> None:
    before: list[str] = []
    if path.exists():
        before = _beside(path)[0] or [digest_of(path)]
    beside = digest_file_of(path)
    _write_beside(beside, path.name, [sha256, *before], about)
    temporary.replace(path)
    _sync_folder(path.parent)
    if before:
        _write_beside(beside, path.name, [sha256], about)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among writers: two trainers may save into one folder, even under the same name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_beside(beside: Path, name: str, digests: list[str], about: Mapping[str, Any]) -> None:
    lines = [f"{digest}  {name}\n" for digest in dict.fromkeys(digests)]
    lines.append(f"{_COMMENT}{json.dumps(about)}\n")
    write_durably(beside, "".join(lines).encode())


def write_durably(path: Path, data: bytes) -> None:
    """Write a small file whole: a reader, or a crash, finds the old one or the new.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _created(temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o666), "wb") as file:  # noqa: PTH123  # a descriptor
        yield file


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- removing ---------------------------------------------------------------------------------------


def remove(path: Path) -> None:
    """Remove a checkpoint, and then what stands beside it.

    Raises:
        OSError: it cannot be removed.
    """
    path.unlink(missing_ok=True)
    digest_file_of(path).unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove unfinished files of writers that are gone."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            matched = _TEMPORARY.fullmatch(entry.name)
            if matched and not Path(f"/proc/{matched[1]}").exists():
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()
