"""What wandb does to a whole process: its environment, its folders, its helper `wandb-core`.

One worker process serves many runs, and wandb has one helper and one environment for all of them. What can
be said per run is said in `wandb.Settings` (session.py); the rest stands here, and is done once.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from exptrack_daemon.errors import SinkBroken
from exptrack_daemon.home import Home, make_private

_HELPER = "wandb-core"
_KEPT = frozenset(
    {
        "WANDB_API_KEY",
        "WANDB_BASE_URL",
        "WANDB_ENTITY",
        "WANDB_HTTP_PROXY",
        "WANDB_HTTPS_PROXY",
        "WANDB_INSECURE_DISABLE_SSL",
    }
)
"""Of the user's environment. Anything else (WANDB_RUN_ID, WANDB_MODE, …) would bend every run of the daemon;
WANDB_SERVICE would make us a guest of another process's helper."""


def load_wandb(home: Home) -> Any:
    """Import wandb in an environment of our own.

    Raises:
        SinkBroken: it is not installed.
    """
    return _load(home.path / "wandb")


@functools.cache
def _load(folder: Path) -> Any:
    for name in [name for name in os.environ if name.startswith("WANDB_") and name not in _KEPT]:
        del os.environ[name]
    os.environ |= _environment(folder)
    try:
        library = importlib.import_module("wandb")
    except ImportError as error:
        raise SinkBroken(
            f"W&B needs its library: pip install 'exptrack[wandb]' ({error})"
        ) from error
    # Registered after wandb's own exit hook, so that it runs before: that hook would wait, without limit,
    # for uploads. Nothing is lost; what W&B does not hold comes again from the journal.
    atexit.register(kill_helper)
    return library


def _environment(folder: Path) -> dict[str, str]:
    folders = {f"WANDB_{kind.upper()}_DIR": folder / kind for kind in ("cache", "data", "config")}
    for path in (folder, *folders.values()):
        make_private(path)
    return {
        "WANDB_DIR": str(folder),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
        **{name: str(path) for name, path in folders.items()},
    }


def find_helper() -> psutil.Process | None:
    """This process's `wandb-core`, which all its runs share."""
    children = psutil.Process().children()
    return next((child for child in children if _name(child) == _HELPER), None)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def find_writer(folder: Path) -> psutil.Process | None:
    """A `wandb-core`, of an earlier worker perhaps, that has a file below this folder open.

    It outlives a killed worker by up to two seconds, and may write down what it still has.
    """
    helpers = (process for process in psutil.process_iter() if _name(process) == _HELPER)
    return next((helper for helper in helpers if _writes_below(folder, helper)), None)


def _writes_below(folder: Path, helper: psutil.Process) -> bool:
    return any(Path(file.path).is_relative_to(folder) for file in _open_files(helper))


def _open_files(process: psutil.Process) -> list[Any]:
    try:
        return list(process.open_files())
    except psutil.Error:
        return []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_helper() -> None:
    """End our own helper at once; whatever it still held is replayed later."""
    helper = find_helper()
    if helper is not None:
        with suppress(psutil.Error):
            helper.send_signal(signal.SIGKILL)
