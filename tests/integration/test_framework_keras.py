"""Keras 3 (torch backend) with our callback, on one layer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

import exptrack_agent as xt
from exptrack_agent.integrations.keras import ExptrackCallback
from tests.unit.integrations.reading import recovered

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def compiled() -> Any:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="tiny")
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse", metrics=["mae"])
    return model


X, Y = np.arange(16.0).reshape(8, 2) / 16, np.ones(8)


def test_epochs_and_a_later_evaluation_go_into_one_run(home: Path):
    callback = ExptrackCallback("keras", home=home, mode="offline")
    model = compiled()
    how = {"batch_size": 2, "verbose": 0, "callbacks": [callback]}
    model.fit(X, Y, epochs=3, validation_data=(X, Y), **how)
    model.evaluate(X, Y, **how)
    callback.finish()
    (run,) = recovered(home)
    assert run.view.status.name == "finished"
    assert run.names == {
        *("epoch/loss", "epoch/mae", "epoch/val_loss", "epoch/val_mae", "epoch/learning_rate"),
        *("test/loss", "test/mae"),
    }
    losses = run.series("epoch/loss")
    assert [step for step, _ in losses] == [0, 1, 2]
    assert losses[0][1] > losses[2][1]
    assert run.series("epoch/learning_rate")[0][1] == pytest.approx(0.01)
    assert [step for step, _ in run.series("test/loss")] == [2]
    assert run.config["epochs"] == 3
    assert run.config["optimizer"]["name"].lower().startswith("sgd")
    assert "Total params" in run.texts("model/summary")[0]


def test_batches_are_recorded_when_asked_for_and_else_the_hook_is_not_there(home: Path):
    from keras.src import utils

    assert utils.is_default(ExptrackCallback().on_train_batch_end)
    callback = ExptrackCallback("keras", batches=2, log_model=False, home=home, mode="offline")
    compiled().fit(X, Y, epochs=2, batch_size=2, verbose=0, callbacks=[callback])
    callback.finish()
    (run,) = recovered(home)
    assert [step for step, _ in run.series("batch/loss")] == [0, 2, 4, 6]
    assert not run.media("TextItem")


def test_a_run_that_is_asked_to_stop_ends_after_its_epoch(home: Path):
    run = xt.init("keras", home=home, mode="offline")
    run.stop_requested = "somebody asked"
    compiled().fit(X, Y, epochs=5, verbose=0, callbacks=[ExptrackCallback(run=run)])
    run.finish()
    (found,) = recovered(home)
    assert [step for step, _ in found.series("epoch/loss")] == [0]
