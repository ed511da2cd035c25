"""All ranks in one run, each with its own stream, without any of them being told an id.

torchrun --nproc-per-node 2 docs/examples/torch_ddp.py
"""

from __future__ import annotations

import torch
import torch.distributed as dist

from exptrack_agent.torch import StepTimer, clip_gradients, init_distributed, is_main

STEPS, BATCH = 10, 16


def main() -> None:
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    rank = dist.get_rank()
    device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    torch.manual_seed(rank)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(8, 2).to(device))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    with init_distributed(project="examples", name="ddp", config={"lr": 0.1}) as run:
        timer = StepTimer(run, samples=BATCH)  # of every rank: a slow one shows
        for step in range(STEPS):
            optimizer.zero_grad()
            loss = model(torch.randn(BATCH, 8, device=device)).square().mean()
            loss.backward()
            # The same on all ranks, and clipping must be done by all; recorded per rank.
            clip_gradients(run, model, 1.0, step, norms=is_main())
            optimizer.step()
            run.log({"train/loss": loss.item()}, step=step)
            timer.step(step)
    if is_main():
        print(run.id)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
