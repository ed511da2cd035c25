"""Sinks that runs asked for are remembered for the next daemon."""

from __future__ import annotations

import pytest

from exptrack_daemon.files import OsFiles
from exptrack_daemon.supervisor.asked import AskedSinks
from tests.support.faulty_files import FaultyFiles


def test_names_are_found_again(tmp_path):
    asked = AskedSinks(OsFiles(), tmp_path / "sinks.json")
    for name in ("wandb", "mlflow", "wandb"):
        asked.add(name)
    assert AskedSinks(OsFiles(), tmp_path / "sinks.json").all() == ["mlflow", "wandb"]


@pytest.mark.parametrize("text", ["", "{", "5", '{"a": 1}', "\x00"])
def test_a_damaged_file_remembers_nothing_and_is_written_anew(tmp_path, text):
    (tmp_path / "sinks.json").write_text(text)
    asked = AskedSinks(OsFiles(), tmp_path / "sinks.json")
    assert asked.all() == []
    asked.add("wandb")
    assert AskedSinks(OsFiles(), tmp_path / "sinks.json").all() == ["wandb"]


def test_a_full_disk_costs_only_the_memory(tmp_path):
    files = FaultyFiles()
    asked = AskedSinks(files, tmp_path / "sinks.json")
    files.fail_next("append")
    asked.add("wandb")
    assert asked.all() == ["wandb"]
