"""What reproduces a run: gathered from what is there, bounded, and without importing anything."""

from __future__ import annotations

import json
import platform
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from exptrack_agent.tracker.reproduction import (
    Gathering,
    artifact_fields,
    gather,
    known_seeds,
    package_versions,
)
from exptrack_proto.limits import MAX_JSON_BYTES


def test_everything_or_only_what_is_asked_for(tmp_path: Path):
    whole = gather(source=True, environment=True, seeds={"mine": 3}, folder=tmp_path)
    assert whole["python"]["version"] == platform.python_version()
    assert whole["seeds"]["mine"] == 3
    assert whole["machine"]["processors"] > 0
    assert whole["git"] == {}
    assert gather(source=False, environment=False, seeds={}, folder=tmp_path) == {"format": 1}


def test_the_document_is_json(tmp_path: Path):
    whole = gather(source=True, environment=True, seeds={}, folder=tmp_path)
    assert json.loads(json.dumps(whole)) == whole


def test_packages_are_those_that_are_installed():
    found = {
        name.lower().replace("-", "_"): version for name, version in package_versions().items()
    }
    assert found["msgpack"].count(".") >= 1
    assert "pyzmq" in found


def test_seeds_are_asked_of_what_is_imported_already():
    code = """
import sys
from exptrack_agent.tracker.reproduction import known_seeds
assert known_seeds() == {}, known_seeds()
assert not {"numpy", "torch"} & set(sys.modules)
import numpy
assert "numpy" not in known_seeds()
numpy.random.seed(77)
assert known_seeds()["numpy"] == 77
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_known_seeds_change_nothing():
    random.seed(5)
    before = random.getstate()
    known_seeds()
    assert random.getstate() == before


def test_gathering_delivers_and_keeps_a_fault():
    delivered: list[Any] = []
    gathering = Gathering(lambda: {"a": 1}, delivered.append)
    assert gathering.wait(10)
    assert delivered == [{"a": 1}]
    failing = Gathering(lambda: {"a": 1 // 0}, delivered.append)
    assert failing.wait(10)
    assert "ZeroDivisionError" in failing.problem


def test_waiting_for_what_hangs_is_bounded():
    release = threading.Event()
    gathering = Gathering(lambda: {"done": release.wait(20)}, lambda document: None)
    assert not gathering.wait(0.05)
    release.set()
    assert gathering.wait(10)


def test_a_document_that_is_too_large_is_cut_where_it_is_large():
    fields = artifact_fields({"git": {"diff": "x" * MAX_JSON_BYTES}, "command": {"a": 1}}, "")
    document = json.loads(fields["metadata"])
    assert document["command"] == {"a": 1}
    assert document["git"] == {"problems": ["too large to be kept"]}
    assert fields["size_bytes"] == len(fields["metadata"])


def test_a_command_line_of_megabytes_is_cut_too():
    fields = artifact_fields({"command": {"arguments": ["x" * MAX_JSON_BYTES]}}, "")
    assert len(fields["metadata"]) < MAX_JSON_BYTES
