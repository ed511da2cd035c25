"""The writer as the process that it is: killed, restarted, left alone; several trainers; orphans."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from exptrack_agent.torch.checkpoints import Checkpoints, folders
from tests.unit.torch.checkpoints_by_hand import Training, same
from tests.unit.torch.recording_run import RecordingRun

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

TRAINER = """
import os, signal, sys
import torch
from exptrack_agent.torch.checkpoints import Checkpoints

torch.set_num_threads(1)
torch.manual_seed(int(sys.argv[2]))
model = torch.nn.Linear(64, 64)
checkpoints = Checkpoints(sys.argv[1], policy="wait")
for step in range(int(sys.argv[3])):
    checkpoints.save(model, epoch=0, step=step)
if sys.argv[4] == "both killed":
    while not checkpoints._saver.writer_pid:
        pass
    os.kill(checkpoints._saver.writer_pid, signal.SIGKILL)
if "killed" in sys.argv[4]:
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[4] == "closed":
    checkpoints.close()
"""


def trainer(folder: Path, seed: int, saves: int, end: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(folder), str(seed), str(saves), end]
    )


def wait_until(is_so: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def stages_of(folder: Path) -> list[Path]:
    root = folders.roots_for(folder)[0]
    return list(root.glob(f"{folders._key(folder)}-*"))


def test_saves_reach_the_disk_and_the_memory_is_given_back(tmp_path: Path) -> None:
    run, training = RecordingRun(), Training()
    training.step()
    with Checkpoints(tmp_path, run, policy="wait") as checkpoints:
        paths = [training.save(checkpoints, step) for step in range(4)]
        assert stages_of(tmp_path)
        assert checkpoints.wait(60)
        state = torch.load(paths[3], weights_only=True)
        assert same(dict(state["model_state_dict"]), dict(training.model.state_dict()))
    assert [item["step"] for item in run.items] == [0, 1, 2, 3]
    assert stages_of(tmp_path) == []


def test_a_writer_killed_at_random_moments_is_replaced_and_every_save_arrives(
    tmp_path: Path,
) -> None:
    dice = random.Random(os.environ.get("EXPTRACK_SEED", "5"))
    kills = 0
    training = Training(256)
    checkpoints = Checkpoints(tmp_path, policy="wait")
    for step in range(12):
        training.save(checkpoints, step)
        if step % 3 == 0:
            wait_until(lambda: checkpoints._saver.writer_pid)
            time.sleep(dice.uniform(0, 0.5 if step else 3))
            with contextlib.suppress(ProcessLookupError):
                os.kill(checkpoints._saver.writer_pid or -(2**30), signal.SIGKILL)
                kills += 1
    assert checkpoints.wait(60)
    assert kills
    assert [one.step for one in checkpoints.list()] == list(reversed(range(12)))
    for one in checkpoints.list():
        checkpoints.verify(one.path)
    assert checkpoints.stats()["written"] == 12
    assert checkpoints.close()
    assert not list(tmp_path.glob(".*.tmp"))


def test_what_a_killed_trainer_had_staged_is_written_and_found(tmp_path: Path) -> None:
    process = trainer(tmp_path, 1, 2, "killed")
    assert process.wait(60) == -signal.SIGKILL
    with Checkpoints(tmp_path) as checkpoints:
        state = checkpoints.load()
        assert state is not None
        assert state["step"] == 1
        assert [one.step for one in checkpoints.list()] == [1, 0]
    assert stages_of(tmp_path) == []


def test_what_trainer_and_writer_left_is_written_by_the_next_one_and_recorded(
    tmp_path: Path,
) -> None:
    assert trainer(tmp_path, 1, 2, "both killed").wait(60) == -signal.SIGKILL
    run = RecordingRun()
    with Checkpoints(tmp_path, run) as checkpoints:
        state = checkpoints.load()
    assert state is not None
    assert state["step"] == 1
    assert [item["step"] for item in run.items] == [0, 1]
    assert stages_of(tmp_path) == []


def test_a_trainer_that_ends_without_a_word_leaves_its_saves_on_disk(tmp_path: Path) -> None:
    assert trainer(tmp_path, 1, 2, "left").wait(60) == 0
    with Checkpoints(tmp_path) as checkpoints:
        wait_until(lambda: len(checkpoints.list()) == 2)
        wait_until(lambda: not stages_of(tmp_path))


def test_two_trainers_may_save_into_one_folder_even_under_one_name(tmp_path: Path) -> None:
    processes = [trainer(tmp_path, seed, 8, "closed") for seed in (1, 2)]
    assert [process.wait(100) for process in processes] == [0, 0]
    with Checkpoints(tmp_path) as checkpoints:
        found = checkpoints.list()
        assert sorted(one.step for one in found) == list(range(8))
        for one in found:
            assert checkpoints.verify(one.path) == one.sha256
    assert not list(tmp_path.glob(".*.tmp"))


def test_the_memory_of_a_trainer_that_is_alive_is_left_alone(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as one, Checkpoints(tmp_path) as other:
        Training().save(one, 0)
        state = other.load()
        assert one.wait(60)
        assert stages_of(tmp_path)
        assert state is None or state["step"] == 0
        Training().save(one, 1)
        assert one.wait(60)
        loaded = other.load()
        assert loaded is not None
        assert loaded["step"] == 1


def test_the_example_ends_bit_for_bit_the_same() -> None:
    example = Path(__file__).parents[3] / "docs" / "examples" / "resume_after_kill.py"
    found = subprocess.run(
        [sys.executable, str(example)], capture_output=True, text=True, check=False, timeout=110
    )
    assert found.returncode == 0, found.stderr
    assert "killed by signal 9, then from step 20" in found.stdout
