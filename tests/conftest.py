"""Fixtures for all tests: a home of one's own, and a daemon that is gone afterwards whatever happened."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from exptrack_agent import notices
from exptrack_daemon.home import Home
from tests.support.processes import Daemon

with contextlib.suppress(ValueError):  # a worker that does not run tests on its main thread
    # A job in the background ignores Ctrl-C, and so would every process that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class _ByPlace(LoadScopeScheduling):
    """One worker for all pages, all tabs, all sets: their homes, servers, browsers and jobs are made once."""

    def _split_scope(self, nodeid: str) -> str:
        if "test_torch_checkpoint_sets" in nodeid:
            return "sets"
        if not nodeid.startswith("tests/browser/"):
            return nodeid
        return "tabs" if "test_studio_tabs" in nodeid else "pages"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByPlace | None:
    """For `pytest -n`; other ways to spread tests are left alone."""
    return _ByPlace(config, log) if config.getoption("dist") in ("load", "worksteal") else None


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's shell reaches a test."""
    for name in (
        "EXPTRACK_HOME",
        "EXPTRACK_MODE",
        "EXPTRACK_RUN_ID",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
    ):
        monkeypatch.delenv(name, raising=False)
    notices.forget()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An empty home; what it left in shared memory and in the runtime folder is removed."""
    path = (tmp_path / "home").resolve()
    path.mkdir(mode=0o700)
    yield path
    for folder in (*Home(path).ring_roots, Home(path).runtime):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    """A running daemon of `home`."""
    daemon = Daemon(home)
    daemon.start()
    yield daemon
    daemon.end()
