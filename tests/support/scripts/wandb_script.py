"""A script as people write them for W&B; tests run it with another import."""

import argparse
import random

import numpy as np
import torch
import wandb
from torch import nn


class Net(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def train(config: argparse.Namespace) -> None:
    model = Net(config.hidden)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr)
    wandb.watch(model, log="all", log_freq=4)
    best = 0.0
    for epoch in range(config.epochs):
        for _ in range(4):
            x = torch.randn(8, 4)
            y = x[:, :3].argmax(1)
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            wandb.log(
                {"train/loss": loss, "train/lr": optimizer.param_groups[0]["lr"]}, commit=False
            )
            wandb.log({"epoch": epoch})

        x = torch.randn(32, 4)
        y = x[:, :3].argmax(1)
        with torch.no_grad():
            predictions = model(x).argmax(1)
        accuracy = (predictions == y).float().mean().item()
        best = max(best, accuracy)
        table = wandb.Table(columns=["truth", "guess"])
        for truth, guess in zip(y[:5].tolist(), predictions[:5].tolist(), strict=True):
            table.add_data(truth, guess)
        wandb.log(
            {
                "val": {"accuracy": accuracy},
                "examples": [
                    wandb.Image(np.random.rand(8, 8, 3), caption=f"{n}") for n in range(2)
                ],
                "weights": wandb.Histogram(model.head.weight.detach().numpy()),
                "predictions": table,
                "confusion": wandb.plot.confusion_matrix(
                    preds=predictions.tolist(), y_true=y.tolist(), class_names=["a", "b", "c"]
                ),
            }
        )
    wandb.run.summary["best_accuracy"] = best
    torch.save(model.state_dict(), "model.pt")
    artifact = wandb.Artifact("net", type="model", metadata={"accuracy": best})
    artifact.add_file("model.pt")
    wandb.log_artifact(artifact)
    if best < 0.99:
        wandb.alert(title="low accuracy", text=f"{best:.2f}", level=wandb.AlertLevel.WARN)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    random.seed(0)
    torch.manual_seed(0)

    run = wandb.init(
        project="net",
        entity="team",
        name="first",
        config=args,
        tags=["baseline"],
        group="g",
        save_code=True,
        settings=wandb.Settings(start_method="thread"),
    )
    wandb.define_metric("train/loss", summary="min")
    wandb.config.update({"optimizer": "AdamW"})
    assert run is wandb.run
    train(wandb.config)
    wandb.finish()


if __name__ == "__main__":
    main()
