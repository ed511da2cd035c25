"""Real gloo jobs: one run for all ranks, each with its stream; a rank that is killed is seen and named."""

from __future__ import annotations

import itertools
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exptrack_daemon.store import open_home
from tests.support.processes import Daemon, wait_until

pytestmark = pytest.mark.timeout(240)

TRAIN = """
import os, sys, time, torch, torch.distributed as dist
import exptrack_agent.torch as xtt
torch.set_num_threads(1)

def begin(): return xtt.init_distributed(project="ddp", config={"lr": 0.1})

def train(run, steps=5):
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.ones(3, 4) + dist.get_rank()).sum().backward()
        total = xtt.clip_gradients(run, model, 1.0, step)
        optimizer.step()
        run.log({"mine": 100 * dist.get_rank() + step, "total": float(total)}, step=step)
"""

UNDER_TORCHRUN = (
    TRAIN
    + """
when = sys.argv[1]
run = begin() if when == "before" else None
dist.init_process_group("gloo")
run = run or begin()
train(run)
run.finish()
dist.destroy_process_group()
"""
)

BY_SPAWN = (
    TRAIN
    + """
def work(rank, world, path):
    dist.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=world)
    run = begin()
    train(run)
    dist.barrier()
    if rank == 2:
        os.kill(os.getpid(), 9)
    open(f"{path}/alive_{rank}", "w").write(str(os.getpid()))
    while not os.path.exists(f"{path}/go"):
        time.sleep(0.05)
    run.log({"after": rank}, step=5)
    run.finish()
    os._exit(0)  # the group cannot be taken down in order any more

if __name__ == "__main__":
    import torch.multiprocessing as mp
    path = sys.argv[1]
    context = mp.get_context("spawn")
    ranks = [context.Process(target=work, args=(rank, 4, path)) for rank in range(4)]
    for rank in ranks: rank.start()
    for rank in ranks: rank.join()
    print([rank.exitcode for rank in ranks])
"""
)


NORMS = (
    TRAIN
    + """
import copy
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

def work(kind):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    whole, x = copy.deepcopy(model), torch.randn(4, 8)
    if kind == "fully_shard":
        fully_shard(model)
    else:
        model = FullyShardedDataParallel(model, use_orig_params=True, device_id=torch.device("cpu"))
    run = xtt.init_distributed(project="sharded", config={"kind": kind})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    stock = torch.optim.SGD(whole.parameters(), 0.1)
    watching = xtt.watch(run, model, optimizer, weights=1, updates=1, histograms=1)

    def backward():
        optimizer.zero_grad()
        stock.zero_grad()
        model(x).square().sum().backward()
        whole(x).square().sum().backward()
        return {f"expected/{name}": p.grad.norm().item() for name, p in whole.named_parameters()}

    for step in range(2):  # without clipping each rank records its part
        norms = backward()
        total = torch.nn.utils.get_total_norm([p.grad for p in whole.parameters()])
        optimizer.step()
        stock.step()
        norms |= {f"expected/weights/{name}": p.norm().item() for name, p in whole.named_parameters()}
        run.log(norms | {"expected": float(total)}, step=step)
    for step, limit in ((2, 1e-3), (3, 1e6)):  # with it the whole is known to all
        norms = backward()
        expected = torch.nn.utils.clip_grad_norm_(whole.parameters(), limit)
        torch.testing.assert_close(xtt.clip_gradients(run, model, limit, step), expected)
        optimizer.step()
        stock.step()
        run.log(norms | {"expected": float(expected)}, step=step)
    if kind == "fully_shard":
        for mine, theirs in zip(model.parameters(), whole.parameters()):
            torch.testing.assert_close(mine.full_tensor(), theirs)
    watching.close()
    backward()
    if dist.get_rank() == 1:  # NaN of one rank's part is counted for all
        part = [p.grad for p in model.parameters() if p.grad is not None][0]
        (part.to_local() if kind == "fully_shard" else part).view(-1)[0] = float("nan")
    assert xtt.clip_gradients(run, model, 1.0, 9).isnan()
    run.finish()

dist.init_process_group("gloo")
work("fully_shard")
work("FullyShardedDataParallel")
dist.destroy_process_group()
"""
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command: list[str], home: Path) -> subprocess.Popen[str]:
    environ = os.environ | {"EXPTRACK_HOME": str(home), "OMP_NUM_THREADS": "1"}
    environ["PYTHONPATH"] = os.pathsep.join(str(path) for path in map(Path, (".", "proto")))
    return subprocess.Popen(
        command,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], timeout_s: float = 120) -> str:
    try:
        out, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, errors = process.communicate()
        raise AssertionError(f"the job hangs\n{out}\n{errors}") from None
    assert process.returncode == 0, f"{out}\n{errors}"
    return out


def only_run(home: Path) -> Any:
    reader = open_home(home)
    (run_id,) = reader.run_ids()
    return reader.view(run_id)


def all_values(home: Path, run_id: str) -> dict[tuple[str, int, int], float]:
    reader = open_home(home)
    points = reader.points(reader.find(run_id))
    return {(point.name, point.rank, point.step): point.value for point in points}


def values_of(home: Path, name: str) -> dict[tuple[int, int], float]:
    reader = open_home(home)
    run = only_run(home)
    return {
        (point.rank, point.step): point.value
        for point in reader.points(reader.find(run.id))
        if point.name == name
    }


@pytest.mark.parametrize("when", ["before", "after"])
def test_two_ranks_under_torchrun_share_a_run_without_being_told_its_id(
    daemon: Daemon, home: Path, tmp_path: Path, when: str
):
    script = tmp_path / "train.py"
    script.write_text(UNDER_TORCHRUN)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    job = start([*torchrun, "--master-port", str(free_port()), str(script), when], home)
    ended(job)
    mine = values_of(home, "mine")
    assert mine == {(rank, step): 100 * rank + step for rank in range(2) for step in range(5)}
    totals = values_of(home, "total")
    norms = values_of(home, "gradients/norm")
    for step in range(5):  # gradients are reduced, so both ranks see the same
        assert totals[0, step] == pytest.approx(totals[1, step])
        assert norms[0, step] == pytest.approx(totals[0, step], rel=1e-5)
    view = only_run(home)
    assert view.status.name == "finished"
    assert sorted(stream.stream.rank for stream in view.facts.trainers) == [0, 1]


def test_norms_of_sharded_gradients_are_those_of_the_whole_model(
    daemon: Daemon, home: Path, tmp_path: Path
):
    script = tmp_path / "train.py"
    script.write_text(NORMS)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    ended(start([*torchrun, "--master-port", str(free_port()), str(script)], home))
    runs = open_home(home).runs()
    assert {run.facts.run.config["kind"] for run in runs} == {
        *("fully_shard", "FullyShardedDataParallel")
    }
    names = [f"/{layer}.{what}" for layer in (0, 2) for what in ("weight", "bias")]
    for run in runs:
        found = all_values(home, run.id)

        def norm(name: str, step: int, found: Any = found) -> Any:
            """Of the parts of both ranks: their squares add up."""
            parts = [found.get((name, rank, step), 0.0) for rank in (0, 1)]
            return pytest.approx(math.sqrt(sum(parts)), rel=1e-5)

        for step, name in itertools.product((0, 1), ("", *names)):
            assert found[f"expected{name}", 0, step] == norm(f"gradients/square{name}", step)
            assert (f"gradients/norm{name}", 0, step) not in found
        for step, name in itertools.product((0, 1), names):
            assert found[f"expected/weights{name}", 0, step] == norm(f"weights/square{name}", step)
        for step, rank, name in itertools.product((2, 3), (0, 1), ("", *names)):
            expected = found[f"expected{name}", rank, step]
            assert found[f"gradients/norm{name}", rank, step] == pytest.approx(expected, rel=1e-5)
            assert (f"gradients/square{name}", rank, step) not in found
        applied = [found["numerical_stability/clipping_applied", 1, step] for step in (2, 3)]
        assert applied == [1, 0]
        assert [found["gradients/nan_count", rank, 9] for rank in (0, 1)] == [1, 1]
        assert ("updates/ratio/0.weight", 1, 0) in found


def test_of_four_ranks_one_is_killed_and_the_store_says_which(
    daemon: Daemon, home: Path, tmp_path: Path
):
    script = tmp_path / "train.py"
    script.write_text(BY_SPAWN)
    job = start([sys.executable, str(script), str(tmp_path)], home)
    alive = [tmp_path / f"alive_{rank}" for rank in (0, 1, 3)]
    wait_until(lambda: all(path.exists() for path in alive), 90, "the others are past the barrier")

    def states() -> dict[int, str]:
        if not open_home(home).run_ids():  # the ranks are faster than the daemon
            return {}
        trainers = only_run(home).facts.trainers
        return {stream.stream.rank: stream.status for stream in trainers}

    wait_until(lambda: states().get(2) == "crashed", 30, "the daemon sees that rank 2 is dead")
    assert states() == {0: "open", 1: "open", 2: "crashed", 3: "open"}
    (tmp_path / "go").touch()
    assert ended(job).strip().endswith("[0, 0, -9, 0]")
    wait_until(lambda: sorted(states().values()) == ["crashed", *["finished"] * 3], 30)
    mine = values_of(home, "mine")
    assert mine == {(rank, step): 100 * rank + step for rank in range(4) for step in range(5)}
    assert sorted(values_of(home, "after")) == [(0, 5), (1, 5), (3, 5)]
