"""Train, be killed in the middle, go on: the end is the same, bit for bit.

    python docs/examples/resume_after_kill.py

The script starts its own training twice: the first one kills itself, the second one goes on and ends.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from exptrack_agent.torch.checkpoints import Checkpoints

STEPS = 40


def train(folder: Path, die_at: int | None = None) -> str:
    """Train to the end, from the newest checkpoint there is; what came out, as a digest."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(32, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout()
    )
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    with Checkpoints(folder, keep_last=3, policy="wait") as checkpoints:
        state = checkpoints.restore(model, optimizer, scheduler)
        first = state["step"] if state is not None else 0
        for step in range(first, STEPS):
            optimizer.zero_grad()
            loss = model(torch.randn(16, 32)).square().mean()
            loss.backward()
            optimizer.step()
            scheduler.step()
            if (step + 1) % 5 == 0:
                checkpoints.save(
                    model, optimizer, epoch=0, step=step + 1, loss=loss, scheduler=scheduler
                )
            if step == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return f"from step {first}: {digest.hexdigest()[:16]}"


def main() -> None:
    """Once without a kill, then with one."""
    with tempfile.TemporaryDirectory() as folder:
        straight = train(Path(folder, "straight"))
        command = [sys.executable, __file__, str(Path(folder, "killed"))]
        killed = subprocess.run([*command, "23"], check=False)
        resumed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    print("never killed,", straight)
    print(f"killed by signal {-killed.returncode}, then", resumed)
    if straight.split()[-1] != resumed.split()[-1]:
        sys.exit("they differ")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(train(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
