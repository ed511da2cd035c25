"""The demo's training: a small CNN on scikit-learn's handwritten digits, tracked as a user would track it.

Run by `exptrack demo` as a process of its own: `python -m exptrack_daemon.demo.train HOME RUN_ID EPOCHS`.
Prints one JSON line: what it logged.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import exptrack_agent as xt


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of the demo."""

    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 3e-3
    channels: int = 16
    dropout: float = 0.2
    seed: int = 0


@dataclass
class Count:
    """What was logged, to be compared with what is read back."""

    rows: int = 0
    points: int = 0
    media: int = 0

    def add(self, values: dict[str, Any]) -> dict[str, Any]:
        """Count a row on its way to `log`."""
        self.rows += 1
        self.points += len(values)
        return values


def network(settings: Settings) -> nn.Sequential:
    """A CNN for images `[batch, 1, 8, 8]`; logits `[batch, 10]`."""
    width = settings.channels
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(settings.dropout),
        nn.Linear(2 * width * 16, 10),
    )


def digits(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images 0…1 `[n, 1, 8, 8]` and labels `[n]`: for training, then for validation."""
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        images / 16.0, labels, test_size=0.2, random_state=seed, stratify=labels
    )
    train_x, test_x = (
        torch.tensor(part, dtype=torch.float32).reshape(-1, 1, 8, 8) for part in parts[:2]
    )
    train_y, test_y = (torch.tensor(part, dtype=torch.long) for part in parts[2:])
    return train_x, train_y, test_x, test_y


def main(home: str, run_id: str, epochs: int) -> Count:
    """Train, log everything there is, and return what was logged."""
    settings = Settings(epochs=epochs)
    torch.manual_seed(settings.seed)
    torch.set_num_threads(1)
    count = Count()
    with xt.init(
        project="demo",
        name=f"digits-cnn-{run_id[-4:]}",
        config=asdict(settings),
        tags=["demo", "cnn"],
        notes="A small CNN on scikit-learn's handwritten digits.",
        run_id=run_id,
        home=home,
        sinks=["tensorboard", "wandb"],
    ) as run:
        accuracy = train(run, settings, count)
        run.log_hparams(asdict(settings), {"hparam/accuracy": accuracy})
        run.summary["best_accuracy"] = accuracy
        run.flush(10)
    return count


def train(run: xt.Run, settings: Settings, count: Count) -> float:
    """The training loop; returns the best validation accuracy."""
    train_x, train_y, test_x, test_y = digits(settings.seed)
    model = network(settings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate)
    steps = len(train_x) // settings.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * steps
    )
    step, best = 0, 0.0
    for epoch in range(settings.epochs):
        order = torch.randperm(len(train_x))
        model.train()
        for batch in order[: steps * settings.batch_size].split(settings.batch_size):
            logits = model(train_x[batch])
            loss = nn.functional.cross_entropy(logits, train_y[batch])
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            values = {
                "train/loss": loss,
                "train/accuracy": (logits.argmax(1) == train_y[batch]).float().mean(),
                "train/gradient_norm": norm,
                "learning_rate": schedule.get_last_lr()[0],
                "epoch": epoch,
            }
            run.log(count.add(values), step=step)
            schedule.step()
            step += 1
        best = max(best, validate(run, model, test_x, test_y, step, count))
        if epoch % 4 == 3 or epoch == settings.epochs - 1:
            look_inside(run, model, test_x, test_y, step, count)
    return best


def validate(
    run: xt.Run, model: nn.Module, x: torch.Tensor, y: torch.Tensor, step: int, count: Count
) -> float:
    """Log validation loss and accuracy."""
    model.eval()
    with torch.no_grad():
        logits = model(x)
    accuracy = float((logits.argmax(1) == y).float().mean())
    loss = nn.functional.cross_entropy(logits, y)
    run.log(count.add({"val/loss": loss, "val/accuracy": accuracy}), step=step)
    return accuracy


def look_inside(
    run: xt.Run, model: nn.Module, x: torch.Tensor, y: torch.Tensor, step: int, count: Count
) -> None:
    """Log weight histograms, sample predictions, the confusion matrix and a table of errors."""
    with torch.no_grad():
        predicted = model(x).argmax(1)
    media: dict[str, Any] = {
        f"weights/{name}": xt.Histogram(value) for name, value in model.named_parameters()
    }
    media["predictions"] = xt.Image(sheet(x[:32]), caption=f"predicted: {predicted[:32].tolist()}")
    media["confusion"] = xt.Figure(confusion_figure(y.numpy(), predicted.numpy()))
    wrong = [i for i in range(len(y)) if y[i] != predicted[i]][:50]
    rows = [[i, int(y[i]), int(predicted[i])] for i in wrong]
    media["errors"] = xt.Table(rows, columns=["image", "label", "predicted"])
    media["report"] = xt.Text(
        f"At step {step}, **{len(wrong)}** of {len(y)} validation images are wrong."
    )
    run.log(media, step=step)
    count.media += len(media)


def sheet(images: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """32 digits `[32, 1, 8, 8]` as one picture of 4 rows and 8 columns, magnified: `[240, 480]`, 0…1."""
    framed = nn.functional.pad(images, (1, 1, 1, 1), value=0.3)
    grid = framed.reshape(4, 8, 10, 10).permute(0, 2, 1, 3).reshape(40, 80)
    return np.kron(grid.numpy(), np.ones((6, 6), dtype=np.float32))


def confusion_figure(labels: Any, predicted: Any) -> Figure:
    """The confusion matrix as a picture."""
    matrix = np.zeros((10, 10), dtype=int)
    np.add.at(matrix, (labels, predicted), 1)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(4.5, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.imshow(matrix, cmap="Blues")
        axes.set(xlabel="predicted", ylabel="label", title="Confusion on the validation set")
        axes.set_xticks(range(10))
        axes.set_yticks(range(10))
        for i, j in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if matrix[i, j] > matrix.max() / 2 else "black"
            axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour)
    return figure


if __name__ == "__main__":
    print(json.dumps(asdict(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
