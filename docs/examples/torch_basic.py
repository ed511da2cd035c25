"""A small network with everything recorded that training can tell of itself. Runs in seconds on a CPU.

python docs/examples/torch_basic.py
"""

from __future__ import annotations

import torch

import exptrack_agent as xt
from exptrack_agent.torch import StabilityMonitor, StepTimer, log_architecture, watch

EPOCHS, BATCH = 3, 32


def main() -> None:
    torch.manual_seed(0)
    x = torch.randn(512, 16)
    y = (x[:, :4].sum(1, keepdim=True) > 0).float()
    data = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True)
    model = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    with xt.init(project="examples", name="basic", config={"lr": 1e-2, "batch": BATCH}) as run:
        log_architecture(run, model, x[:2])
        watching = watch(run, model, optimizer, histograms=20, weights=20, updates=10)
        monitor = StabilityMonitor(run, policy="warn")
        timer = StepTimer(run, samples=BATCH, every=5)
        step = 0
        for epoch in range(EPOCHS):
            for features, labels in timer.loader(loader):
                with timer.phase("forward"):
                    loss = torch.nn.functional.binary_cross_entropy_with_logits(
                        model(features), labels
                    )
                optimizer.zero_grad()
                with timer.phase("backward"):
                    loss.backward()
                with timer.phase("optimizer"):
                    optimizer.step()
                monitor.loss(loss)
                run.log({"train/loss": loss, "epoch": epoch}, step=step)
                timer.step(step)
                monitor.step()
                step += 1
        monitor.close()
        watching.close()
    print(run.id)


if __name__ == "__main__":
    main()
