"""tensorboard and demo: real TensorBoard on loopback, and clear words when a part is missing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request

import pytest
from typer.testing import CliRunner

from exptrack_daemon.cli import app
from exptrack_daemon.cli.viewing import tensorboard_command
from exptrack_daemon.home import folder_name
from tests.support.homes import HomeBuilder


def run_cli(home, *arguments):
    return CliRunner().invoke(app, [*arguments, "--home", str(home.path)])


def test_tensorboard_never_listens_wider_than_loopback(tmp_path):
    command = tensorboard_command(tmp_path, 6006)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert "--bind_all" not in command


def test_a_home_or_a_run_without_files_for_it_says_how_to_get_them(tmp_path):
    home = HomeBuilder(tmp_path)
    home.finished_run("r1")
    result = run_cli(home, "tensorboard")
    assert (result.exit_code, "daemon status" in result.output) == (3, True)
    result = run_cli(home, "tensorboard", "r1")
    assert (result.exit_code, "exptrack replay r1 --to tensorboard" in result.output) == (3, True)


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run_cli(HomeBuilder(tmp_path), "tensorboard")
    assert (result.exit_code, "exptrack[tensorboard]" in result.output) == (6, True)


def test_the_real_one_answers_at_the_printed_address_and_stops_on_ctrl_c(tmp_path):
    home = HomeBuilder(tmp_path)
    home.finished_run("r1", project="p", name="n")
    (home.home.tensorboard / folder_name("p") / folder_name("n")).mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-m", "exptrack_daemon", "tensorboard", "--home", str(home.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline()).group()
            with urllib.request.urlopen(f"{address}data/environment", timeout=10) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(15) == 0
        finally:
            process.kill()


def test_a_demo_whose_libraries_are_missing_says_what_to_install(tmp_path, monkeypatch):
    import exptrack_daemon

    monkeypatch.delattr(exptrack_daemon, "demo", raising=False)
    monkeypatch.setitem(sys.modules, "exptrack_daemon.demo", None)
    result = run_cli(HomeBuilder(tmp_path), "demo")
    assert (result.exit_code, "exptrack[demo]" in result.output) == (6, True)


@pytest.mark.parametrize(("code", "exit_code"), [(None, 0), (0, 0), (3, 3)])
def test_the_demo_runs_in_the_home_and_hands_on_its_exit_code(
    tmp_path, monkeypatch, code, exit_code
):
    import types

    import exptrack_daemon

    asked = {}
    fake = types.ModuleType("exptrack_daemon.demo")
    fake.run = lambda home, show: asked.update(home=home, show=show) or code
    monkeypatch.setitem(sys.modules, "exptrack_daemon.demo", fake)
    monkeypatch.setattr(exptrack_daemon, "demo", fake, raising=False)
    assert run_cli(HomeBuilder(tmp_path), "demo").exit_code == exit_code
    assert asked == {"home": tmp_path.resolve(), "show": None}  # nobody sits there
