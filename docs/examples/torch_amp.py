"""Mixed precision with a GradScaler, accumulation and clipping: what is recorded is what the optimizer sees.

python docs/examples/torch_amp.py
"""

from __future__ import annotations

import torch

import exptrack_agent as xt
from exptrack_agent.torch import StabilityMonitor, StepTimer

STEPS, ACCUMULATION, BATCH = 12, 4, 8


def main() -> None:
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.bfloat16
    model = torch.nn.Sequential(
        torch.nn.Linear(32, 64), torch.nn.GELU(), torch.nn.Linear(64, 1)
    ).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler(device, init_scale=2.0**16)

    with xt.init(project="examples", name="amp", config={"accumulation": ACCUMULATION}) as run:
        monitor = StabilityMonitor(run, model, optimizer, scaler=scaler, precision=4)
        timer = StepTimer(run, samples=BATCH, accumulation=ACCUMULATION)
        for step in range(STEPS):
            optimizer.zero_grad()
            for _ in range(ACCUMULATION):
                x = torch.randn(BATCH, 32, device=device)
                with timer.phase("forward"), torch.autocast(device, dtype):
                    loss = model(x).square().mean() / ACCUMULATION
                if step == 5:
                    loss = loss * float("inf")  # the scaler skips this step
                with timer.phase("backward"):
                    scaler.scale(loss).backward()
                timer.micro_step()
            scaler.unscale_(optimizer)
            monitor.clip_gradients(max_norm=0.5)
            scaler.step(optimizer)
            scaler.update()
            if step != 5:
                run.log({"train/loss": loss * ACCUMULATION}, step=step)
            timer.step(step)
            monitor.step()
        monitor.close()
    print(run.id)


if __name__ == "__main__":
    main()
