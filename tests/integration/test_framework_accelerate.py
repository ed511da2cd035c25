"""Accelerate's real Accelerator with our tracker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from exptrack_agent.integrations.accelerate import ExptrackTracker
from tests.unit.integrations.reading import recovered

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore::UserWarning:torch")]


@pytest.fixture(autouse=True)
def _own_state() -> Iterator[None]:
    yield
    for state in (AcceleratorState, PartialState, GradientState):
        state._shared_state.clear()


def test_the_name_is_known_and_a_training_loop_is_recorded(home: Path):
    accelerator = Accelerator(cpu=True, log_with="exptrack")
    options = {"home": home, "mode": "offline", "tags": ["tiny"]}
    accelerator.init_trackers("acc", config={"lr": 0.1}, init_kwargs={"exptrack": options})
    model = torch.nn.Linear(2, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
    for step in range(3):
        loss = model(torch.ones(4, 2)).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        accelerator.log({"loss": loss, "lr": 0.1}, step=step)
    accelerator.end_training()
    (run,) = recovered(home)
    assert run.view.status.name == "finished"
    assert run.view.facts.run.tags == ("tiny",)
    assert run.config["lr"] == 0.1
    losses = run.series("loss")
    assert [step for step, _ in losses] == [0, 1, 2]
    assert losses[0][1] > losses[2][1]


def test_without_steps_calls_are_counted_and_images_and_tables_stand_at_the_last(home: Path):
    tracker = ExptrackTracker("acc", home=home, mode="offline")
    accelerator = Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("ignored")
    accelerator.log({"a": torch.tensor(1.0)})
    accelerator.log({"a": 2})
    tracker.log_images({"x": np.zeros((2, 4, 4, 3), np.uint8)})
    tracker.log_table("t", ["a", "b"], [[1, 2]])
    accelerator.end_training()
    (run,) = recovered(home)
    assert run.series("a") == [(0, 1.0), (1, 2)]
    assert [image.name for image in run.media("Image")] == ["x/0", "x/1"]
    assert {image.step for image in run.media("Image")} == {1}
    assert run.table("t") == (["a", "b"], [[1, 2]])
