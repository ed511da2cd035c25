"""Hugging Face's Trainer with exptrack: a classifier small enough to be made here, nothing downloaded.

python docs/examples/transformers_basic.py
"""

import tempfile

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from exptrack_agent.integrations.transformers import ExptrackCallback


def main() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
    )
    examples = [{"input_ids": [n % 32, 1, 2, 3], "labels": n % 2} for n in range(64)]
    callback = ExptrackCallback("examples", name="transformers", tags=["tiny"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=BertForSequenceClassification(config),
            args=TrainingArguments(
                output_dir=folder,
                max_steps=12,
                per_device_train_batch_size=8,
                learning_rate=1e-2,
                logging_steps=1,
                eval_strategy="steps",
                eval_steps=6,
                save_strategy="no",
                report_to="none",  # the callback below is ours; report_to="exptrack" works too
                use_cpu=True,
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=examples,
            eval_dataset=examples[:16],
            callbacks=[callback],
        )
        trainer.train()
    assert callback.run is not None
    callback.finish()
    print(callback.run.id)


if __name__ == "__main__":
    main()
