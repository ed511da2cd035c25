"""Saving and going on, with the writer turned by hand."""

from __future__ import annotations

import json
import logging
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import exptrack_agent as xt
from exptrack_agent.errors import Misuse
from exptrack_agent.torch.checkpoints import Checkpoints, folders, saver
from exptrack_agent.torch.checkpoints.stage import Mark, Stage, claimed, read_staged
from tests.unit.torch.checkpoints_by_hand import (
    LinkByHand,
    Training,
    by_hand,
    names_in,
    same,
    shared,
)
from tests.unit.torch.recording_run import RecordingRun

__all__ = ["by_hand", "shared"]


def saved(checkpoints: Checkpoints, links: list[LinkByHand], training: Training, step: int) -> Path:
    path = training.save(checkpoints, step)
    assert links[-1].write()
    return path


def test_what_changes_after_the_call_changes_nothing_in_the_file(
    tmp_path: Path, by_hand: list[LinkByHand]
) -> None:
    training = Training()
    training.step()
    checkpoints = Checkpoints(tmp_path / "c")
    torch.save([training.model.state_dict(), training.optimizer.state_dict()], tmp_path / "copy.pt")

    path = training.save(checkpoints, 1)
    for tensor in training.model.state_dict().values():
        tensor.data.fill_(9)
    for state in training.optimizer.state.values():
        for value in state.values():
            value.data.fill_(9)
    by_hand[0].write()

    state = torch.load(path, weights_only=True)
    copy = torch.load(tmp_path / "copy.pt", weights_only=True)
    assert same(dict(state["model_state_dict"]), dict(copy[0]))
    assert same(state["optimizer_state_dict"], copy[1])
    checkpoints.close()


def test_the_file_holds_what_it_promises(tmp_path: Path, by_hand: list[LinkByHand]) -> None:
    training = Training()
    training.step()
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(
        training.model,
        training.optimizer,
        epoch=2,
        step=np.int64(7),  # type: ignore[arg-type]
        loss=torch.tensor(0.5),
        metrics={"accuracy": np.float64(0.25)},
        scheduler=training.scheduler,
        config={"path": tmp_path, "model": training.model},
    )
    by_hand[0].write()

    state = torch.load(path, weights_only=True)

    assert path == tmp_path / "checkpoint_epoch_2_step_7.pt"
    assert (state["epoch"], state["step"], state["loss"]) == (2, 7, 0.5)
    assert state["metrics"] == {"accuracy": 0.25}
    assert state["timestamp"] > 1e9
    assert state["config"]["path"] == str(tmp_path)
    assert state["config"]["model"].startswith("Sequential(")
    assert set(state["rng_state"]) == {"torch", "python", "numpy"}
    assert checkpoints.list()[0].metrics == {"accuracy": 0.25, "loss": 0.5}
    checkpoints.close()


SCHEDULES = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 2),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5),
    "one cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, 20),
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "sequence": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.ConstantLR(o, 0.5, 2),
            torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        ],
        [2],
    ),
    "cyclic": lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, cycle_momentum=False),
}
OPTIMIZERS = {
    "Adam": torch.optim.Adam,
    "SGD": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    "AdamW amsgrad": lambda p, lr: torch.optim.AdamW(p, lr, amsgrad=True),
    "Adagrad": torch.optim.Adagrad,
    "RMSprop": torch.optim.RMSprop,
}


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [("Adam", name) for name in SCHEDULES]
    + [(name, "step") for name in OPTIMIZERS if name != "Adam"],
)
def test_training_goes_on_bit_for_bit(
    tmp_path: Path, by_hand: list[LinkByHand], optimizer: str, schedule: str
) -> None:
    def begin() -> Training:
        training = Training(optimizer=OPTIMIZERS[optimizer])
        training.scheduler = SCHEDULES[schedule](training.optimizer)
        return training

    straight = begin()
    checkpoints = Checkpoints(tmp_path)
    for _ in range(3):
        straight.step()
    saved(checkpoints, by_hand, straight, 3)
    dice = [random.random(), float(np.random.rand())]
    for _ in range(3):
        straight.step()

    again = begin()
    state = checkpoints.restore(again.model, again.optimizer, again.scheduler)
    assert [random.random(), float(np.random.rand())] == dice
    for _ in range(3):
        again.step()

    assert state is not None
    assert state["step"] == 3
    assert same(dict(again.model.state_dict()), dict(straight.model.state_dict()))
    assert same(again.optimizer.state_dict(), straight.optimizer.state_dict())
    checkpoints.close()


def test_tied_weights_are_written_once_and_stay_tied(
    tmp_path: Path, by_hand: list[LinkByHand]
) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 64))
    model[1].weight = model[0].weight
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.save(model, epoch=0, step=0)
    by_hand[0].write()
    weights = torch.load(path, weights_only=True)["model_state_dict"]
    assert weights["0.weight"].data_ptr() == weights["1.weight"].data_ptr()
    assert path.stat().st_size < 2 * 64 * 64 * 4
    checkpoints.close()


# --- who is told ------------------------------------------------------------------------------------


def test_a_run_is_told_of_each_file(tmp_path: Path, by_hand: list[LinkByHand]) -> None:
    run = RecordingRun()
    checkpoints = Checkpoints(tmp_path, run)
    path = checkpoints.save(
        torch.nn.Linear(2, 2), epoch=1, step=5, loss=0.5, metrics={"accuracy": 0.9}
    )
    assert run.items == []
    by_hand[0].write()

    (item,) = run.items
    assert (item["kind"], item["type"], item["name"]) == ("artifact", "checkpoint", path.name)
    assert (item["step"], item["path"]) == (5, str(path))
    assert item["size_bytes"] == path.stat().st_size
    assert item["sha256"] == checkpoints.verify(path)
    assert json.loads(item["metadata"]) == {
        "epoch": 1,
        "metrics": {"accuracy": 0.9, "loss": 0.5},
    }
    checkpoints.close()


# --- back-pressure ----------------------------------------------------------------------------------


def test_a_save_that_comes_too_fast_is_skipped_counted_and_recorded(
    tmp_path: Path, by_hand: list[LinkByHand], caplog: pytest.LogCaptureFixture
) -> None:
    run, training = RecordingRun(), Training()
    checkpoints = Checkpoints(tmp_path, run)
    for step in range(4):
        training.save(checkpoints, step)
    while by_hand[0].write():
        pass
    assert [one.step for one in checkpoints.list()] == [1, 0]
    assert checkpoints.stats() == {
        "written": 2, "skipped": 2, "replaced": 0, "failed": 0, "refused": 0,
    }  # fmt: skip
    assert run.rows == [(2, {"checkpoints/skipped": 1}), (3, {"checkpoints/skipped": 2})]
    assert caplog.text.count("saves come faster than the disk") == 1
    checkpoints.close()


def test_replace_takes_the_staged_one_that_was_not_begun(
    tmp_path: Path, by_hand: list[LinkByHand]
) -> None:
    training = Training()
    checkpoints = Checkpoints(tmp_path, policy="replace")
    for step in range(5):
        training.save(checkpoints, step)
    while by_hand[0].write():
        pass
    assert [one.step for one in checkpoints.list()] == [4, 0]
    assert checkpoints.stats()["replaced"] == 3
    checkpoints.close()


def test_replace_waits_while_the_writer_holds_what_it_would_take(
    tmp_path: Path, by_hand: list[LinkByHand], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training()
    checkpoints = Checkpoints(tmp_path, policy="replace")
    for step in range(2):
        training.save(checkpoints, step)
    changed = checkpoints._saver._changed
    really_wait = changed.wait
    waits: list[float | None] = []

    def write_once_while_waiting(timeout: float | None = None) -> bool:
        waits.append(timeout)
        if len(waits) > 1:
            return really_wait(timeout)
        changed.release()
        by_hand[0].write()
        changed.acquire()
        return True

    with claimed(by_hand[0].folder / "stage-1"), monkeypatch.context() as patch:
        patch.setattr(changed, "wait", write_once_while_waiting)
        training.save(checkpoints, 2)

    assert waits
    assert checkpoints.stats()["replaced"] == 0
    while by_hand[0].write():
        pass
    assert [one.step for one in checkpoints.list()] == [2, 1, 0]
    checkpoints.close()


def test_wait_waits_for_the_disk(
    tmp_path: Path, by_hand: list[LinkByHand], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training()
    checkpoints = Checkpoints(tmp_path, policy="wait")
    for step in range(2):
        training.save(checkpoints, step)
    changed = checkpoints._saver._changed

    really_wait = changed.wait

    def write_while_waiting(timeout: float | None = None) -> bool:
        changed.release()
        by_hand[0].write()
        changed.acquire()
        return really_wait(0.01)

    with monkeypatch.context() as patch:
        patch.setattr(changed, "wait", write_while_waiting)
        training.save(checkpoints, 2)
    while by_hand[0].write():
        pass
    assert [one.step for one in checkpoints.list()] == [2, 1, 0]
    assert checkpoints.stats()["written"] == 3
    checkpoints.close()


# --- what goes wrong --------------------------------------------------------------------------------


def test_a_full_or_readonly_disk_is_said_once_and_counted_and_training_goes_on(
    tmp_path: Path,
    by_hand: list[LinkByHand],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, training = RecordingRun(), Training()
    checkpoints = Checkpoints(tmp_path, run)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for step in range(3):
            saved(checkpoints, by_hand, training, step)
    assert checkpoints.stats()["failed"] == 3
    assert caplog.text.count("No space left on device") == 1
    assert run.rows[-1] == (2, {"checkpoints/failed": 3})
    assert checkpoints.list() == []

    saved(checkpoints, by_hand, training, 3)
    assert [one.step for one in checkpoints.list()] == [3]
    checkpoints.close()


def test_a_folder_that_cannot_be_made_is_said_and_counted(
    tmp_path: Path, by_hand: list[LinkByHand], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    checkpoints = Checkpoints(tmp_path / "file" / "c")
    saved(checkpoints, by_hand, Training(), 0)
    assert checkpoints.stats()["failed"] == 1
    assert "Not a directory" in caplog.text
    checkpoints.close()


def test_no_room_for_a_stage_is_said_once_and_counted(
    tmp_path: Path,
    by_hand: list[LinkByHand],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    training = Training()
    checkpoints = Checkpoints(tmp_path)

    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        patch.setattr(os, "pwrite", full)
        for step in range(3):
            training.save(checkpoints, step)
    assert checkpoints.stats()["refused"] == 3
    assert caplog.text.count("could not be staged") == 1

    saved(checkpoints, by_hand, training, 4)
    checkpoints.close()


def test_without_room_in_shared_memory_stages_stand_beside_the_checkpoints(
    tmp_path: Path,
    by_hand: list[LinkByHand],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(folders, "SHARED_MEMORY", tmp_path / "missing")
    checkpoints = Checkpoints(tmp_path / "c")
    path = saved(checkpoints, by_hand, Training(), 0)
    assert torch.load(path, weights_only=True)["step"] == 0
    assert by_hand[0].folder.parent == tmp_path / "c" / ".staging"
    assert "saving them takes longer" in caplog.text
    checkpoints.close()
    assert list((tmp_path / "c" / ".staging").iterdir()) == []


def test_a_writer_that_cannot_be_had_is_said_and_nothing_waits_for_it(
    tmp_path: Path, by_hand: list[LinkByHand], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path)
    Training().save(checkpoints, 0)
    by_hand[0].saves.given_up("No module named torch")
    assert checkpoints.wait(0)
    assert checkpoints.stats()["failed"] == 1
    assert "No module named torch" in caplog.text
    checkpoints.close()


def test_a_writer_killed_before_its_word_is_not_asked_twice(
    tmp_path: Path, by_hand: list[LinkByHand], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RecordingRun()
    checkpoints = Checkpoints(tmp_path, run)
    Training().save(checkpoints, 0)
    with monkeypatch.context() as patch:
        patch.setattr("exptrack_agent.torch.checkpoints.writer.tell", lambda result: None)
        by_hand[0].write()
    assert not checkpoints.wait(0)
    assert not by_hand[0].saves.is_waiting()
    assert checkpoints.stats()["written"] == 1
    assert run.items[0]["sha256"] == checkpoints.list()[0].sha256
    checkpoints.close()


@pytest.mark.parametrize(
    "arguments", [{"epoch": 1.5, "step": 1}, {"epoch": 1, "step": "1"}, {"epoch": 1, "step": 2**70}]
)
def test_what_is_no_whole_number_is_misuse(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(Misuse):
        checkpoints.save(torch.nn.Linear(1, 1), **arguments)


def test_closed_checkpoints_take_nothing_more_and_leave_no_memory(
    tmp_path: Path, by_hand: list[LinkByHand], shared: Path
) -> None:
    with Checkpoints(tmp_path / "c") as checkpoints:
        saved(checkpoints, by_hand, Training(), 0)
    with pytest.raises(Misuse, match="closed"):
        Training().save(checkpoints, 1)
    (root,) = shared.iterdir()
    assert list(root.iterdir()) == []


# --- foresight --------------------------------------------------------------------------------------


def test_memory_is_made_at_the_first_step_of_an_optimizer(
    tmp_path: Path, by_hand: list[LinkByHand]
) -> None:
    training = Training(64)
    checkpoints = Checkpoints(tmp_path)
    training.step()
    with checkpoints._saver._changed:
        made = checkpoints._saver._changed.wait_for(lambda: checkpoints.is_prepared, 10)
    assert made
    sizes = [slot.stage.size for slot in checkpoints._saver._slots]
    saved(checkpoints, by_hand, training, 0)
    assert [slot.stage.size for slot in checkpoints._saver._slots] == sizes
    checkpoints.close()


# --- retention and going on --------------------------------------------------------------------------


def test_retention_removes_files_with_their_digests_and_spares_pinned_ones(
    tmp_path: Path, by_hand: list[LinkByHand]
) -> None:
    training = Training()
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    for step in range(5):
        path = saved(checkpoints, by_hand, training, step)
        if step == 1:
            checkpoints.pin(path)
    assert [one.step for one in checkpoints.list()] == [4, 3, 1]
    assert len(names_in(tmp_path)) == 3 * 2 + 1 + 1  # the pin, and the test's shared memory
    with pytest.raises(Misuse):
        checkpoints.pin(tmp_path / "missing.pt")
    checkpoints.close()


def test_nothing_is_removed_for_a_file_that_does_not_read_back(
    tmp_path: Path, by_hand: list[LinkByHand], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training()
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    saved(checkpoints, by_hand, training, 0)

    def damaged(path: Path) -> str:
        raise saver_files.CheckpointDamaged("it rots")

    from exptrack_agent.torch.checkpoints import files as saver_files

    with monkeypatch.context() as patch:
        patch.setattr(saver_files, "check", damaged)
        saved(checkpoints, by_hand, training, 1)
    assert [one.step for one in checkpoints.list()] == [1, 0]
    checkpoints.close()


def test_load_falls_back_to_the_newest_whole_one_and_says_why(
    tmp_path: Path, by_hand: list[LinkByHand], caplog: pytest.LogCaptureFixture
) -> None:
    training = Training()
    checkpoints = Checkpoints(tmp_path)
    paths = [saved(checkpoints, by_hand, training, step) for step in range(3)]
    os.truncate(paths[2], 100)

    state = checkpoints.load()

    assert state is not None
    assert state["step"] == 1
    assert "going on from checkpoint_epoch_0_step_1.pt" in caplog.text
    assert "checkpoint_epoch_0_step_2.pt is not the file that was written" in caplog.text
    checkpoints.close()


def test_with_no_whole_one_load_says_so_and_with_none_at_all_it_is_none(
    tmp_path: Path, by_hand: list[LinkByHand]
) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load() is None
    assert checkpoints.latest() is None
    assert checkpoints.load(tmp_path / "missing.pt") is None
    assert checkpoints.restore(torch.nn.Linear(1, 1)) is None
    path = saved(checkpoints, by_hand, Training(), 0)
    os.truncate(path, 100)
    with pytest.raises(ValueError, match="no checkpoint is whole"):
        checkpoints.load()
    with pytest.raises(ValueError, match="not the file that was written"):
        checkpoints.verify(path)
    checkpoints.close()


OTHERS = {
    "another shape": (torch.nn.Linear(8, 9), "of another shape: weight"),
    "more": (torch.nn.Sequential(torch.nn.Linear(8, 8)), "it lacks: 0.weight"),
    "without": (torch.nn.Linear(8, 8, bias=False), "it has beside: bias"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_model_is_a_clear_error_and_changes_nothing(
    tmp_path: Path, by_hand: list[LinkByHand], name: str
) -> None:
    other, words = OTHERS[name]
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(torch.nn.Linear(8, 8), epoch=0, step=0)
    by_hand[0].write()
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(Misuse, match=words):
        checkpoints.restore(other)
    assert same(dict(other.state_dict()), before)
    checkpoints.close()


def test_a_checkpoint_of_another_optimizer_is_a_clear_error_and_changes_nothing(
    tmp_path: Path, by_hand: list[LinkByHand]
) -> None:
    training = Training()
    checkpoints = Checkpoints(tmp_path)
    saved(checkpoints, by_hand, training, 0)
    for tensor in training.model.parameters():
        tensor.data.fill_(5)
    fewer = torch.optim.Adam([next(training.model.parameters())])
    with pytest.raises(Misuse, match="optimizer has groups"):
        checkpoints.restore(training.model, fewer)
    assert all((tensor == 5).all() for tensor in training.model.parameters())
    checkpoints.close()


# --- stages -----------------------------------------------------------------------------------------


def test_a_stage_that_is_being_filled_is_nothing_yet(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "stage-0")
    assert read_staged(stage.path) is None
    stage.make_room(10_000)
    assert read_staged(stage.path) is None
    stage.mark = Mark.FILLING
    assert read_staged(stage.path) is None
    stage.seal(3, b'{"a": 1}', 8_000)
    found = read_staged(stage.path)
    assert found is not None
    assert (found.number, found.order) == (3, {"a": 1})
    stage.remove()
    assert not stage.path.exists()


def test_a_folder_of_stages_that_others_may_write_is_not_used(
    tmp_path: Path, shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = folders.roots_for(tmp_path)[0]
    root.mkdir()
    root.chmod(0o777)
    folder = saver._open_folder(tmp_path / "c", 100)
    assert folder.path.parent == tmp_path / "c" / ".staging"
    assert caplog.records[0].levelno == logging.WARNING
    folder.let_go()


def test_a_checkpoint_of_a_run_holds_its_configuration_without_the_secrets(
    tmp_path: Path, by_hand: list[LinkByHand]
) -> None:
    config = {"lr": 0.1, "betas": (0.9, 0.99), "hub": {"token": "QcGqZwVbNm"}}
    with xt.init("p", home=tmp_path / "home", mode="offline") as run:
        checkpoints = Checkpoints(tmp_path / "c", run)
        path = checkpoints.save(Training().model, epoch=0, step=1, config=config)
        assert by_hand[-1].write()
        checkpoints.close()
    assert torch.load(path, weights_only=True)["config"] == {**config, "hub": {"token": "***"}}
    assert b"QcGqZwVbNm" not in path.read_bytes()
