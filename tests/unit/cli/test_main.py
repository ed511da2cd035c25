"""The door: exit codes, and a message instead of a traceback when only the agent is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from exptrack_daemon.cli.exits import DaemonUnreachable, ExitCode, UsageWrong, code_of
from exptrack_daemon.errors import (
    AlreadyRunning,
    ConfigInvalid,
    ExptrackError,
    HomeUnusable,
    JournalNewer,
    RunNotFound,
)
from exptrack_daemon.store.catalog import CatalogNewer
from exptrack_daemon.store.export import MissingExtra

WITHOUT = """
import sys
sys.modules[{missing!r}] = None
from exptrack_daemon.__main__ import main
sys.argv = ["exptrack", "runs"]
main()
"""


@pytest.mark.parametrize("missing", ["typer", "rich", "msgspec"])
def test_without_the_daemon_part_it_says_what_to_install(missing):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6
    assert done.stderr == (
        f"exptrack: the command line needs {missing}: pip install 'exptrack[daemon]'\n"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunNotFound, 3),
        (DaemonUnreachable, 4),
        (AlreadyRunning, 5),
        (HomeUnusable, 5),
        (JournalNewer, 5),
        (CatalogNewer, 5),
        (MissingExtra, 6),
        (ConfigInvalid, 2),
        (UsageWrong, 2),
        (ExptrackError, 5),
    ],
)
def test_every_error_has_its_exit_code(error, code):
    assert code_of(error("x")) == ExitCode(code)


def test_the_version_is_told():
    done = subprocess.run(
        [sys.executable, "-m", "exptrack_daemon", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("exptrack 0.")


def test_reading_the_list_of_runs_loads_no_heavy_library():
    code = (
        "import sys; from exptrack_daemon.cli import app; app(['runs', '--home', '/nonexistent'],"
        " standalone_mode=False); heavy = {'numpy', 'pyarrow', 'tensorboard', 'wandb', 'torch'}"
        " & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
