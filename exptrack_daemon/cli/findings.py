"""What `exptrack doctor` looks at. Each finding: what was looked at, how it is, and how to mend it.

Nothing is changed by looking, no daemon is started, nothing leaves the machine.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, NamedTuple

from exptrack_daemon.cli.render import size
from exptrack_daemon.errors import ConfigInvalid, ExptrackError
from exptrack_daemon.home import Home

OK, WARN, BAD = "ok", "warn", "bad"
GIB = 1024**3
_SOCKET_PATH_BYTES = 107
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "9p"}
    | {
        "afs",
        "virtiofs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.juicefs",
    }
)
_EXTRAS = {
    "daemon": ("msgspec", "psutil", "rich", "typer"),
    "tensorboard": ("google_crc32c", "numpy", "PIL", "tensorboard"),
    "wandb": ("numpy", "PIL", "wandb"),
    "gpu": ("pynvml",),
    "export": ("pyarrow",),
    "torch": ("torch",),
}


class Finding(NamedTuple):
    what: str
    level: str
    """`ok`, `warn` (works, but look at it) or `bad` (does not work)."""
    text: str
    mend: str = ""


def examine(home: Home) -> Iterator[Finding]:
    """All findings, in the order a person would look."""
    yield _installation()
    yield from _extras()
    yield from _home(home)
    yield _file_system(home.path, _mounts())
    yield _disk("disk", _existing(home.path), warn_below=5 * GIB, bad_below=GIB // 4)
    yield _disk("shared memory", Path("/dev/shm"), warn_below=GIB // 4, bad_below=GIB // 64)
    yield _sockets(home)
    yield from _settings(home)
    yield _daemon(home)
    yield _gpu()


def _installation() -> Finding:
    python = ".".join(map(str, sys.version_info[:3]))
    try:
        found = f"exptrack {version('exptrack')}, Python {python}"
    except PackageNotFoundError:
        return Finding(
            "installation", WARN, f"run from source, Python {python}", "pip install -e '.[all]'"
        )
    if not sys.platform.startswith("linux"):
        return Finding(
            "installation", WARN, f"{found} on {sys.platform}", "only Linux is supported"
        )
    return Finding("installation", OK, found)


def _extras() -> Iterator[Finding]:
    for extra, modules in _EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if not missing:
            yield Finding(f"extra {extra}", OK, "installed")
            continue
        yield Finding(
            f"extra {extra}",
            BAD if extra == "daemon" else WARN,
            f"not there: {', '.join(missing)}",
            f"pip install 'exptrack[{extra}]' if you want it",
        )


def _home(home: Home) -> Iterator[Finding]:
    path = home.path
    try:
        found = path.stat()
    except FileNotFoundError:
        parent = _existing(path)
        if os.access(parent, os.W_OK | os.X_OK):
            yield Finding("home", OK, f"{path} does not exist yet; the first run makes it")
        else:
            yield Finding(
                "home", BAD, f"{path} cannot be made in {parent}", "choose another --home"
            )
        return
    except OSError as error:
        yield Finding("home", BAD, f"{path}: {error.strerror}", "choose another --home")
        return
    yield home_finding(path, found.st_mode, found.st_uid)


def home_finding(path: Path, mode: int, owner: int) -> Finding:
    """What kind, owner and mode of the home say."""
    if not stat.S_ISDIR(mode):
        return Finding(
            "home", BAD, f"{path} is no folder", "move it away, or choose another --home"
        )
    if owner != os.getuid():
        return Finding("home", BAD, f"{path} belongs to uid {owner}", "choose another --home")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Finding("home", BAD, f"{path} cannot be written", f"chmod u+rwx '{path}'")
    if mode & 0o077:
        return Finding(
            "home", WARN, f"{path} is open to others (mode {mode & 0o777:o})", f"chmod 700 '{path}'"
        )
    return Finding("home", OK, f"{path}, private")


def _mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _file_system(path: Path, mounts: str) -> Finding:
    kind = file_system_of(path, mounts)
    if kind in _NETWORK:
        return Finding(
            "file system",
            WARN,
            f"{path} is on a network file system ({kind}): locks and syncs may be slow or unsafe",
            "put the home on a local disk: --home or EXPTRACK_HOME",
        )
    return Finding("file system", OK, kind or "not known")


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, by a text like /proc/self/mounts."""
    best, kind = "", ""
    for line in mounts.splitlines():
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = parts[1].replace("\\040", " ")
        holds = path.is_relative_to(point)
        if holds and len(point) >= len(best):
            best, kind = point, parts[2]
    return kind


def _disk(what: str, path: Path, *, warn_below: int, bad_below: int) -> Finding:
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return Finding(
            what, WARN, f"{path}: {error.strerror}", "rings go to the home folder instead"
        )
    return room_finding(what, path, free, warn_below=warn_below, bad_below=bad_below)


def room_finding(what: str, path: Path, free: int, *, warn_below: int, bad_below: int) -> Finding:
    text = f"{size(free)} free on {path}"
    if free < bad_below:
        return Finding(what, BAD, text, "make room: rows are dropped when it is full (and say so)")
    if free < warn_below:
        return Finding(what, WARN, text, "make room soon")
    return Finding(what, OK, text)


def _sockets(home: Home) -> Finding:
    path = home.runtime
    length = len(os.fsencode(path / "control.sock"))
    if length > _SOCKET_PATH_BYTES:
        return Finding(
            "sockets",
            BAD,
            f"{path} is too long for a socket",
            "set XDG_RUNTIME_DIR to a short path",
        )
    try:
        found = path.lstat()
    except FileNotFoundError:
        return Finding("sockets", OK, f"{path} (made by the daemon)")
    except OSError as error:
        return Finding("sockets", BAD, f"{path}: {error.strerror}", "set XDG_RUNTIME_DIR")
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return Finding(
            "sockets", BAD, f"{path} is not a private folder of yours", f"rm -r '{path}'"
        )
    return Finding("sockets", OK, str(path))


def _settings(home: Home) -> Iterator[Finding]:
    from exptrack_daemon.config import load_config

    defaults: tuple[str, ...] = ("tensorboard",)
    tables: Any = {}
    try:
        config = load_config(home.path)
        defaults, tables = config.default_sinks, config.sinks
        yield Finding(
            "settings", OK, f"{home.settings}" if home.settings.exists() else "all defaults"
        )
    except (ConfigInvalid, OSError) as error:
        yield Finding("settings", BAD, str(error), "mend that line; the daemon will not start so")
    known = {point.name: point for point in entry_points(group="exptrack.sinks")}
    for name in sorted({*known, *defaults, *tables}):
        if name == "memory":
            continue  # for tests
        load: Callable[[], Any] | None = known[name].load if name in known else None
        yield sink_finding(name, load, wanted=name in {*defaults, *tables, "catalog"})


def sink_finding(name: str, load: Callable[[], Any] | None, *, wanted: bool) -> Finding:
    """Whether a sink can be used on this machine."""
    what, trouble = f"sink {name}", BAD if wanted else WARN
    if load is None:
        return Finding(
            what, trouble, "named in the settings, but nobody provides it", "install its package"
        )
    try:
        load()
    except ImportError as error:
        return Finding(
            what, trouble, f"cannot be imported: {error}", f"pip install 'exptrack[{name}]'"
        )
    missing = [m for m in _EXTRAS.get(name, ()) if importlib.util.find_spec(m) is None]
    if missing:
        return Finding(
            what, trouble, f"needs {', '.join(missing)}", f"pip install 'exptrack[{name}]'"
        )
    return Finding(what, OK, "ready, on by default" if wanted else "ready, when a run asks for it")


def _daemon(home: Home) -> Finding:
    try:
        from exptrack_daemon.supervisor import status

        state = status(home.path)
    except ImportError as error:
        return Finding(
            "daemon", BAD, f"cannot be imported: {error}", "pip install 'exptrack[daemon]'"
        )
    except ExptrackError as error:
        return Finding("daemon", BAD, str(error), "look into daemon.log")
    if not state.get("running"):
        return Finding("daemon", OK, "not running; a run starts it")
    return daemon_finding(state)


def daemon_finding(state: dict[str, Any]) -> Finding:
    """How a running daemon is."""
    if state.get("responding") is False:
        return Finding("daemon", BAD, "holds the home but does not answer", "look into daemon.log")
    broken = [s for s in state.get("sinks") or [] if s.get("state") in ("broken", "unavailable")]
    if broken:
        named = ", ".join(f"{s.get('name')} ({s.get('reason')})" for s in broken)
        return Finding("daemon", WARN, f"running, but behind: {named}", "exptrack daemon status")
    return Finding("daemon", OK, f"running, pid {state.get('pid')}")


def _gpu() -> Finding:
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return Finding(
            "gpu", WARN, "not watched", "pip install 'exptrack[gpu]' on an NVIDIA machine"
        )
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Finding("gpu", OK, f"none found ({error})")
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        names = [_text(nvml.nvmlDeviceGetName(handle)) for handle in handles]
        return Finding("gpu", OK, f"{len(names)}: {', '.join(sorted(set(names)))}")
    except nvml.NVMLError as error:
        return Finding("gpu", WARN, f"found, but not readable: {error}", "check nvidia-smi")
    finally:
        nvml.nvmlShutdown()


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())
