"""A script as people write them for SummaryWriter; tests run it as it is, and with another import."""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter


def accuracy(model: nn.Module, loader: DataLoader) -> tuple[float, torch.Tensor, torch.Tensor]:
    model.eval()
    scores, truth = [], []
    with torch.no_grad():
        for x, y in loader:
            scores.append(model(x).softmax(1)[:, 1])
            truth.append(y)
    score, target = torch.cat(scores), torch.cat(truth)
    return ((score > 0.5) == target).float().mean().item(), score, target


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--logdir", default="runs/two_moons")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.1)
    args = parser.parse_args()

    torch.manual_seed(0)
    x = torch.randn(64, 2)
    y = (x[:, 0] * x[:, 1] > 0).long()
    loader = DataLoader(TensorDataset(x, y), batch_size=16)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    writer = SummaryWriter(args.logdir, comment="ignored", flush_secs=10)
    writer.add_text("arguments", str(vars(args)))
    writer.add_graph(model, x[:1])
    step = 0
    for epoch in range(args.epochs):
        model.train()
        for batch, target in loader:
            loss = nn.functional.cross_entropy(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("Loss/train", loss, step)
            writer.add_scalar("LR", scheduler.get_last_lr()[0], global_step=step)
            writer.add_scalar("Loss/raw value", np.float32(loss.item()), step)
            step += 1
        scheduler.step()
        right, scores, truth = accuracy(model, loader)
        writer.add_scalar("Accuracy/test", right, epoch)
        writer.add_scalars("norms", {n: p.norm() for n, p in model.named_parameters()}, epoch)
        for name, parameter in model.named_parameters():
            writer.add_histogram(f"weights/{name}", parameter, epoch)
        writer.add_pr_curve("pr", truth, scores, epoch)
        writer.add_images("batch", torch.rand(4, 3, 8, 8), epoch)
        writer.flush()
    writer.add_hparams({"lr": args.lr, "epochs": args.epochs}, {"hparam/accuracy": right})
    writer.close()


if __name__ == "__main__":
    main()
