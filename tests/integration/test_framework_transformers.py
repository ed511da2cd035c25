"""Hugging Face's real Trainer with our callback, on a classifier of a few hundred weights made here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import exptrack_agent as xt
from exptrack_agent.integrations.transformers import ExptrackCallback
from tests.unit.integrations.reading import recovered

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*"),
]


def tiny_model() -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = BertConfig(vocab_size=16, intermediate_size=8, max_position_embeddings=8, **sizes)
    return BertForSequenceClassification(config)


def examples() -> list[dict[str, Any]]:
    return [{"input_ids": [n, 1, 2, 3], "labels": n % 2} for n in range(8)]


def trainer(folder: Path, *callbacks: Any, **arguments: Any) -> Any:
    return Trainer(
        model=tiny_model(),
        args=TrainingArguments(
            output_dir=str(folder / "out"),
            max_steps=4,
            per_device_train_batch_size=2,
            logging_steps=1,
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **{"report_to": "none", "save_strategy": "no", **arguments},
        ),
        train_dataset=examples(),
        eval_dataset=examples(),
        callbacks=list(callbacks),
    )


def test_training_evaluation_and_prediction_have_the_names_that_hf_gives_them(
    home: Path, tmp_path: Path
):
    callback = ExptrackCallback("hf", home=home, mode="offline")
    training = trainer(tmp_path, callback, run_name="tiny", save_strategy="steps", save_steps=4)
    training.train()
    training.evaluate()
    training.predict(examples())
    callback.finish()
    (run,) = recovered(home)
    assert (run.view.facts.run.project, run.view.facts.run.name) == ("hf", "tiny")
    assert run.view.status.name == "finished"
    assert [step for step, _ in run.series("train/loss")] == [1, 2, 3, 4]
    assert [step for step, _ in run.series("train/learning_rate")] == [1, 2, 3, 4]
    assert [step for step, _ in run.series("eval/loss")] == [4]
    assert [step for step, _ in run.series("test/loss")] == [4]
    assert run.config["per_device_train_batch_size"] == 2
    assert run.config["model/class"] == "BertForSequenceClassification"
    assert run.config["model/config"]["hidden_size"] == 8
    (checkpoint,) = run.view.facts.artifacts
    assert (checkpoint.name, checkpoint.step) == ("checkpoint-4", 4)
    assert checkpoint.size_bytes > 0


def test_report_to_knows_the_name_once_the_module_is_imported(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EXPTRACK_HOME", str(home))
    monkeypatch.setenv("EXPTRACK_MODE", "offline")
    training = trainer(tmp_path, report_to="exptrack")
    training.train()
    (callback,) = [
        one for one in training.callback_handler.callbacks if isinstance(one, ExptrackCallback)
    ]
    callback.finish()
    (run,) = recovered(home)
    assert run.view.facts.run.project == "huggingface"
    assert len(run.series("train/loss")) == 4


def test_only_the_first_process_of_the_world_records(home: Path, tmp_path: Path):
    run = xt.init("hf", home=home, mode="offline")
    callback = ExptrackCallback(run=run)
    training = trainer(tmp_path)
    training.state.is_world_process_zero = False
    callback.on_train_begin(training.args, training.state, training.control)
    callback.on_log(training.args, training.state, training.control, logs={"loss": 1.0})
    callback.on_save(training.args, training.state, training.control)
    assert run.rows == 0
    callback.finish()
    assert not run.is_finished
    run.finish()


def test_a_run_that_is_asked_to_stop_ends_at_its_next_log(home: Path, tmp_path: Path):
    run = xt.init("hf", home=home, mode="offline")
    run.stop_requested = "somebody asked"
    trainer(tmp_path, ExptrackCallback(run=run)).train()
    run.finish()
    (found,) = recovered(home)
    assert [step for step, _ in found.series("train/loss")] == [1]
