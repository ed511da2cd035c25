"""Where everything stands under the home folder, and how user text becomes a folder's name.

HOME/
  daemon.json  daemon.toml  daemon.log  daemon.lock   who is running, with which settings
  studio.token                                        what the studio asks a browser for
  intake.lock  locks/  live.json  sinks.json          which process does what, for whom
  catalog.sqlite                                      what readers list
  annotations.sqlite                                  what people wrote about runs afterwards: a truth too
  trash/                                              runs that were removed, until the trash is emptied
  runs/RUN_ID/journal/NNNNNNNN.seg                    the truth
  runs/RUN_ID/stop                                    somebody asked it to stop, and why
  runs/RUN_ID/sinks/SINK.json                         that sink's cursor and state
  runs/RUN_ID/sinks/SINK.dead/                        its dead letters
  runs/RUN_ID/{series,media,wandb}/                   what sinks keep
  tensorboard/PROJECT/NAME/                           what TensorBoard reads
  spool/STREAM/  rings/STREAM/                        rows of trainers that no daemon has taken yet
  quarantine/                                         bytes that could not be read, kept
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exptrack_daemon.errors import HomeUnusable

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_MAX_FOLDER_BYTES = 200


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home folder. Holds no state and touches nothing."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "daemon.lock"

    @property
    def intake_lock(self) -> Path:
        """Held by the one process that writes journals."""
        return self.path / "intake.lock"

    @property
    def asked_sinks(self) -> Path:
        """Sinks beside the default ones that runs asked for by name."""
        return self.path / "sinks.json"

    @property
    def beacon(self) -> Path:
        """Written once the sockets are bound: pid, boot id, version, endpoints."""
        return self.path / "daemon.json"

    @property
    def live(self) -> Path:
        """Which trainers are writing."""
        return self.path / "live.json"

    @property
    def settings(self) -> Path:
        return self.path / "daemon.toml"

    @property
    def log(self) -> Path:
        return self.path / "daemon.log"

    @property
    def catalog(self) -> Path:
        return self.path / "catalog.sqlite"

    @property
    def annotations(self) -> Path:
        return self.path / "annotations.sqlite"

    @property
    def trash(self) -> Path:
        return self.path / "trash"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    def run(self, run_id: str) -> Path:
        return self.runs / run_id

    def stop_request(self, run_id: str) -> Path:
        """Stands while somebody wants this run to stop."""
        return self.runs / run_id / "stop"

    def journal(self, run_id: str) -> Path:
        return self.runs / run_id / "journal"

    def cursor(self, run_id: str, sink: str) -> Path:
        return self.runs / run_id / "sinks" / f"{sink}.json"

    def dead_letters(self, run_id: str, sink: str) -> Path:
        return self.runs / run_id / "sinks" / f"{sink}.dead"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def quarantine(self) -> Path:
        return self.path / "quarantine"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def ring_roots(self) -> tuple[Path, ...]:
        """Folders that may hold rings: shared memory first, then the home itself (as the agent chooses)."""
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return (Path(f"/dev/shm/exptrack-{os.getuid()}") / digest, self.path / "rings")

    @property
    def runtime(self) -> Path:
        """A short private folder for sockets (an ipc path has at most 107 bytes)."""
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        base = os.environ.get("XDG_RUNTIME_DIR") or ""
        root = (
            Path(base) / "exptrack"
            if base and Path(base).is_dir()  # a container may inherit the name without the folder
            else Path(tempfile.gettempdir()) / f"exptrack-{os.getuid()}"
        )
        return root / digest


def make_runtime(home: Home) -> Path:
    """Make the folder for sockets, and the one it stands in: both have to be ours, and private.

    Raises:
        HomeUnusable: one of them is a link, belongs to somebody else, or cannot be made.
    """
    make_private(home.runtime.parent)
    make_private(home.runtime)
    return home.runtime


def make_private(path: Path) -> None:
    """Make a folder that only this user can enter, or refuse one that is not so.

    Raises:
        HomeUnusable: it is a link, belongs to somebody else, or cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise HomeUnusable(f"cannot make {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise HomeUnusable(f"{path} is not a folder (a link is not followed); remove it")
    if found.st_uid != os.getuid():
        raise HomeUnusable(f"{path} belongs to uid {found.st_uid}, not to you; remove it")
    if found.st_mode & 0o077:
        path.chmod(0o700)


def folder_name(text: str) -> str:
    """Turn any user text into one folder name: injective, no separators, no leading dot or dash.

    Bytes outside `A-Z a-z 0-9 . _ -` become `~XX`; a long name keeps its beginning and gets a digest.
    """
    encoded = "".join(
        character
        if character in _PLAIN
        else "".join(f"~{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
        for character in text
    )
    if not encoded:
        return "~"
    if encoded[0] in ".-":
        encoded = f"~{ord(encoded[0]):02X}{encoded[1:]}"
    if len(encoded) > _MAX_FOLDER_BYTES:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"{encoded[: _MAX_FOLDER_BYTES - 20]}~~{digest}"
    return encoded
