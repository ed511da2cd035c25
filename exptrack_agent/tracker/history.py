"""Every version of an experiment's configuration, by content: who changed what, and the way back.

    FOLDER/versions/ID.json     a configuration; ID is the SHA-256 of its settings, so that equal ones are one
    FOLDER/history.jsonl        one line a save, in order: when, who, where, what, why

Both are only ever added to. A line is appended in one write under a lock, so that many processes may save.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from exptrack_agent.errors import Misuse
from exptrack_agent.settings import host_name
from exptrack_agent.tracker.config import ExperimentConfig
from exptrack_agent.tracker.storage import read_document, usable_folder, write_document

_LINES = "history.jsonl"
_SHOWN_CHARS = 12


class Change(NamedTuple):
    """One setting that differs between two versions."""

    setting: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.setting}: {self.before!r} → {self.after!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One save of a configuration.

    Attributes:
        id: SHA-256 of the settings, hexadecimal.
        parent: the version before it; "" for the first.
        time_ns: when it was saved, Unix time.
        who: name of the user.
        host: name of the machine.
        message: why, in the user's words.
        run_id: the run that was started with it, if one was.
        changed: the settings that differ from the version before.
    """

    id: str
    parent: str = ""
    time_ns: int = 0
    who: str = ""
    host: str = ""
    message: str = ""
    run_id: str = ""
    changed: tuple[str, ...] = ()

    def __str__(self) -> str:
        when = datetime.fromtimestamp(self.time_ns / 1e9, UTC).astimezone()
        what = ", ".join(self.changed) if self.parent else "the first"
        words = [f"{when:%Y-%m-%d %H:%M:%S}", f"{self.who}@{self.host}", what or "as before"]
        return "  ".join([self.id[:_SHOWN_CHARS], *words, *filter(None, [self.message])])


class ConfigHistory:
    """The versions of a configuration that were saved in a folder.

    Raises:
        Misuse: the folder cannot be made or written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = usable_folder(folder, "config_save_dir")
        self._versions = usable_folder(self.folder / "versions", "config_save_dir")

    def save(self, config: ExperimentConfig, message: str = "", run_id: str = "") -> Version:
        """Add a version; one that equals the newest is added only when a run was started with it.

        Raises:
            Misuse: the folder cannot be written any more.
        """
        identity = version_id(config)
        before = self._newest()
        if before is not None and before.id == identity and not run_id:
            return before
        path = self._path(identity)
        if not path.exists():
            write_document(path, config.to_dict())
        version = Version(
            id=identity,
            parent=before.id if before is not None else "",
            time_ns=time.time_ns(),
            who=user_name(),
            host=host_name(),
            message=message,
            run_id=run_id,
            changed=self._changed_since(before, config),
        )
        self._append(version)
        return version

    def list(self) -> Sequence[Version]:
        """All saves, oldest first; a line that cannot be read is passed over."""
        return tuple(self._lines())

    def load(self, version: str = "latest") -> ExperimentConfig:
        """The configuration of a version: its id, a unique beginning of one, or "latest".

        Raises:
            Misuse: there is none, more than one, or its file was changed since.
        """
        identity = self._find(version)
        path = self._path(identity)
        config = ExperimentConfig.from_dict(read_document(path), str(path))
        if version_id(config) != identity:
            raise Misuse(f"{path} was changed since it was saved")
        return config

    def diff(self, before: str, after: str = "latest") -> Sequence[Change]:
        """The settings in which two versions differ.

        Raises:
            Misuse: as for `load`.
        """
        return _changes(self.load(before), self.load(after))

    def restore(self, version: str, message: str = "") -> ExperimentConfig:
        """Make an earlier version the newest again; nothing is removed.

        Raises:
            Misuse: as for `load`.
        """
        config = self.load(version)
        self.save(config, message or f"restored {self._find(version)[:_SHOWN_CHARS]}")
        return config

    def _changed_since(self, before: Version | None, config: ExperimentConfig) -> tuple[str, ...]:
        if before is None:
            return ()
        try:
            old = self.load(before.id)
        except Misuse:  # its file is gone or was changed: what differs cannot be said any more
            return ()
        return tuple(change.setting for change in _changes(old, config))

    def _path(self, identity: str) -> Path:
        return self._versions / f"{identity}.json"

    def _find(self, version: str) -> str:
        known = tuple(dict.fromkeys(line.id for line in self._lines()))
        if version == "latest" and known:
            newest = self._newest()
            return newest.id if newest is not None else known[-1]
        found = [identity for identity in known if version and identity.startswith(version)]
        if len(found) != 1:
            amount = f"{len(found)} versions begin with" if found else "there is no version"
            raise Misuse(f"{amount} {version!r} in {self.folder}")
        return found[0]

    def _newest(self) -> Version | None:
        return next(iter(deque(self._lines(), maxlen=1)), None)

    def _lines(self) -> Iterator[Version]:
        try:
            text = (self.folder / _LINES).read_text("utf-8", "replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise Misuse(f"{self.folder / _LINES} cannot be read: {error.strerror}") from error
        yield from filter(None, map(_version_in, text.splitlines()))

    def _append(self, version: Version) -> None:
        line = json.dumps(asdict(version), ensure_ascii=False) + "\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            descriptor = os.open(self.folder / _LINES, flags, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                end = os.fstat(descriptor).st_size
                is_torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
                os.write(descriptor, ("\n" * is_torn + line).encode("utf-8", "replace"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Misuse(f"{self.folder} cannot be written: {error.strerror}") from error


def _version_in(line: str) -> Version | None:
    """The save that a line tells of; None if it is none."""
    try:
        values = json.loads(line)
        version = Version(**{**values, "changed": tuple(map(str, values.get("changed", ())))})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    kinds = {"id": str, "time_ns": int}
    texts = ("parent", "who", "host", "message", "run_id")
    held = asdict(version)
    is_one = all(isinstance(held[name], kinds.get(name, str)) for name in (*kinds, *texts))
    return version if is_one else None


def _changes(before: ExperimentConfig, after: ExperimentConfig) -> tuple[Change, ...]:
    old, new = before.to_dict(), after.to_dict()
    return tuple(Change(key, old[key], new[key]) for key in old if old[key] != new[key])


def version_id(config: ExperimentConfig) -> str:
    """What a configuration's content is known by."""
    text = json.dumps(config.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def user_name() -> str:
    """Who runs this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
