"""A script in the style of small GPT trainings and fine-tuning examples; tests run it with another import."""

import logging
import os
from dataclasses import asdict, dataclass

import torch
import wandb


@dataclass
class Arguments:
    lr: float = 5e-5
    epochs: int = 2
    seed: int = 42


wandb_log = True
eval_interval = 2
max_iters = 5


def track(run: wandb.sdk.wandb_run.Run, name: str) -> None:
    run.name = name
    run.tags = (*run.tags, "tuned")
    run.notes = "a second look"


def train(arguments: Arguments) -> None:
    torch.manual_seed(arguments.seed)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=wandb.config.lr)
    wandb.watch(model, criterion=None, log="all", log_freq=1)
    best_val_loss = 1e9
    iter_num = 0
    while True:
        if iter_num % eval_interval == 0:
            losses = {split: torch.tensor(1.0 / (iter_num + 1)) for split in ("train", "val")}
            if wandb_log:
                wandb.log({"iter": iter_num, "val/loss": losses["val"], "mfu": 0.1 * 100})
            if losses["val"] < best_val_loss:
                best_val_loss = losses["val"]
                torch.save({"model": model.state_dict()}, "ckpt.pt")
        loss = model(torch.randn(5, 3)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        wandb.log({"train/loss": loss.item(), "train/global_step": iter_num}, commit=False)
        wandb.log({"train/learning_rate": optimizer.param_groups[0]["lr"]}, commit=True)
        iter_num += 1
        if iter_num > max_iters:
            break
    wandb.unwatch(model)
    table = wandb.data_types.Table(columns=["text", "label"], data=[["good", 1], ["bad", 0]])
    wandb.log({"examples": table})


def main() -> None:
    os.environ.setdefault("WANDB_SILENT", "true")
    wandb.login(key="x" * 40)
    arguments = Arguments()
    run = wandb.init(
        project="glue",
        config=asdict(arguments),
        job_type="train",
        tags=["bert"],
        settings=wandb.Settings(console="off"),
        reinit=True,
    )
    wandb.config.update({"lr": 1e-4}, allow_val_change=True)
    wandb.config.model_name = "bert"
    wandb.define_metric("train/global_step")
    wandb.define_metric("*", step_metric="train/global_step", step_sync=True)
    track(run, "tuned")
    train(arguments)
    wandb.run.summary["best"] = 1
    artifact = wandb.Artifact("model", "model")
    artifact.add_file("ckpt.pt")
    wandb.run.log_artifact(artifact, aliases=["best"])
    wandb.link_artifact(artifact, "registry/model")
    logging.getLogger(__name__).info("see %s and %s", wandb.run.url, wandb.run.get_url())
    wandb.finish(exit_code=0)


if __name__ == "__main__":
    main()
