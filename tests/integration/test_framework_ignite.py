"""Ignite's real engines with our handlers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

with warnings.catch_warnings():  # of torch.jit, which importing Ignite sets off
    warnings.simplefilter("ignore", DeprecationWarning)
    import ignite.handlers  # noqa: F401

from ignite.engine import Engine, Events
from ignite.handlers import global_step_from_engine

from exptrack_agent.integrations.ignite import ExptrackLogger, optimizer_handler, output_handler
from tests.unit.integrations.reading import recovered

pytestmark = pytest.mark.timeout(120)


def trainer() -> tuple[Engine, Any]:
    weight = torch.nn.Parameter(torch.tensor(2.0))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def update(_engine: Engine, x: float) -> Any:
        optimizer.zero_grad()
        loss = (weight * x).square()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Engine(update), optimizer


def test_outputs_metrics_and_the_optimizer_are_recorded_at_the_engines_steps(home: Path):
    engine, optimizer = trainer()
    evaluator = Engine(lambda _engine, x: x)

    @evaluator.on(Events.COMPLETED)
    def measure(evaluator: Engine) -> None:
        evaluator.state.metrics = {"accuracy": 0.5, "per_class": torch.tensor([0.25, 0.75])}

    @engine.on(Events.EPOCH_COMPLETED)
    def evaluate(_engine: Engine) -> None:
        evaluator.run([1.0])

    with ExptrackLogger("ig", home=home, mode="offline") as logger:
        completed = Events.ITERATION_COMPLETED(every=2)
        logger.attach_output_handler(engine, completed, "train", lambda loss: {"loss": loss})
        logger.attach_output_handler(
            evaluator,
            Events.COMPLETED,
            tag="eval",
            metric_names="all",
            global_step_transform=global_step_from_engine(engine),
        )
        logger.attach_opt_params_handler(engine, Events.EPOCH_COMPLETED, optimizer)
        engine.run([1.0] * 4, max_epochs=2)
    (run,) = recovered(home)
    assert run.view.status.name == "finished"
    losses = run.series("train/loss")
    assert [step for step, _ in losses] == [2, 4, 6, 8]
    assert losses[0][1] > losses[-1][1]
    assert run.series("eval/accuracy") == [(1, 0.5), (2, 0.5)]
    assert run.series("eval/per_class/1") == [(1, 0.75), (2, 0.75)]
    assert run.series("lr") == [(1, 0.1), (2, 0.1)]


def test_attributes_and_outputs_of_any_shape_have_names(home: Path):
    engine = Engine(lambda _engine, x: (x, {"deep": x}))
    handler = output_handler("t", lambda output: output, state_attributes=["epoch"])
    with ExptrackLogger("ig", home=home, mode="offline") as logger:
        logger.attach(engine, handler, Events.ITERATION_COMPLETED)
        engine.run([3.0])
    (run,) = recovered(home)
    assert run.names == {"t/output/0", "t/output/1/deep", "t/epoch"}


def test_several_groups_are_told_apart(home: Path):
    weights = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    groups = [{"params": [weights[0]], "lr": 0.1}, {"params": [weights[1]], "lr": 0.2}]
    engine = Engine(lambda _engine, x: x)
    with ExptrackLogger("ig", home=home, mode="offline") as logger:
        handler = optimizer_handler(torch.optim.SGD(groups), tag="opt")
        logger.attach(engine, handler, Events.EPOCH_COMPLETED)
        engine.run([1])
    (run,) = recovered(home)
    assert run.series("opt/lr/1") == [(1, 0.2)]


def test_a_handler_with_nothing_to_record_says_so():
    with pytest.raises(ValueError, match="say what to record"):
        output_handler("train")


def test_a_failure_ends_the_run_as_failed(home: Path):
    def fail() -> None:
        with ExptrackLogger("ig", home=home, mode="offline") as logger:
            logger.run.log({"a": 1})
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    (run,) = recovered(home)
    assert run.view.status.name == "failed"
