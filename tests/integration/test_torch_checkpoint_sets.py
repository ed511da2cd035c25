"""Checkpoints of sharded models: real gloo ranks, each with its part; killed, damaged, and of another number.

One process imports torch once and forks the ranks of every life.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(240)

LIVES = """
import copy, hashlib, json, logging, os, signal, sys, tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard

from exptrack_agent.torch.checkpoints import Checkpoints

torch.set_num_threads(1)
FOLDER = Path(sys.argv[1])
logging.basicConfig(stream=sys.stderr, format="%(message)s")


class Training:
    def __init__(self, rank, is_sharded=True):
        torch.manual_seed(1)
        self.model = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Dropout(0.5), torch.nn.Linear(5, 3))
        if is_sharded:
            fully_shard(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.01)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)
        self.checkpoints = Checkpoints(FOLDER, keep_last=2)
        self.step = 0
        torch.manual_seed(100 + rank)

    def restore(self):
        state = self.checkpoints.restore(self.model, self.optimizer, self.scheduler)
        self.step = state["step"] if state else 0
        return self.step

    def train(self, until):
        while self.step < until:
            self.optimizer.zero_grad()
            self.model(torch.randn(4, 7)).square().mean().backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1

    def save(self):
        return self.checkpoints.save(
            self.model, self.optimizer, epoch=0, step=self.step, loss=1.0, scheduler=self.scheduler
        )

    def weights(self):
        found = {}
        for name, tensor in self.model.state_dict().items():
            found[name] = (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).tolist()
        return found

    def digest(self):
        digest = hashlib.sha256(bytes(torch.get_rng_state().tolist()))
        tensors = list(self.model.state_dict().values())
        for state in self.optimizer.state.values():
            tensors += state.values()
        for tensor in tensors:
            local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
            digest.update(local.detach().contiguous().numpy().tobytes())
        digest.update(json.dumps(self.scheduler.state_dict()).encode())
        return digest.hexdigest()


def life(world, work):
    "Fork the ranks, and return what each of them told."
    with tempfile.TemporaryDirectory() as place:
        ranks = []
        for rank in range(world):
            pid = os.fork()
            if not pid:
                try:
                    store = f"file://{place}/store"
                    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
                    Path(place, str(rank)).write_text(json.dumps(work(rank)))
                except BaseException:
                    import traceback
                    traceback.print_exc()
                finally:
                    os._exit(0)
            ranks.append(pid)
        for pid in ranks:
            os.waitpid(pid, 0)
        told = [Path(place, str(rank)) for rank in range(world)]
        return [json.loads(path.read_text()) if path.exists() else None for path in told]


def never_killed(rank):
    training = Training(rank)
    training.train(4)
    four = training.weights()
    training.train(6)
    return {"four": four, "six": training.weights(), "digest": training.digest()}


def killed_in_a_save(rank):
    training = Training(rank)
    assert training.restore() == 0
    training.train(2)
    path = training.save()
    assert training.checkpoints.wait(60)
    dist.barrier()
    training.train(4)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    training.save()
    Path(FOLDER, "told").write_text(path.name)
    os.kill(os.getpid(), signal.SIGKILL)  # its writer goes on alone


def gone_on(rank):
    training = Training(rank)
    began = training.restore()
    found = [one.path.name for one in training.checkpoints.list()]
    strays = sorted(path.name for path in FOLDER.glob("*step_4*.pt"))
    training.train(4)
    training.save()
    training.train(6)
    training.save()
    digest = training.digest()
    training.checkpoints.close()
    return {"began": began, "found": found, "strays": len(strays), "digest": digest}


def went_on_from(rank):
    training = Training(rank)
    return {"began": training.restore(), "weights": training.weights()}


def alone(rank):
    training = Training(rank, is_sharded=False)
    return {"began": training.restore(), "weights": training.weights()}


told = {"never killed": life(2, never_killed)}
life(2, killed_in_a_save)
told["gone on"] = life(2, gone_on)
told["left"] = sorted(path.name for path in FOLDER.glob("checkpoint_*"))
told["three"] = life(3, went_on_from)
told["alone"] = life(1, alone)
(part,) = FOLDER.glob("*step_6.*rank_1_of_2.pt")
damaged = bytearray(part.read_bytes())
damaged[len(damaged) // 2] ^= 1
part.write_bytes(damaged)
told["damaged"] = life(2, went_on_from)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sets")
    environ = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join((".", "proto"))}
    done = subprocess.run(
        [sys.executable, "-c", LIVES, str(folder)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"said": done.stderr, "folder": folder}


def test_parts_of_a_killed_rank_are_no_set_and_training_goes_on_bit_for_bit(told: dict[str, Any]):
    never_killed, gone_on = told["never killed"], told["gone on"]
    assert None not in gone_on, told["said"]
    for rank in (0, 1):
        assert gone_on[rank]["began"] == 2
        assert gone_on[rank]["found"] == ["checkpoint_epoch_0_step_2.set.json"]
        assert gone_on[rank]["strays"] == 1  # of rank 0, whose writer did what it could
        assert gone_on[rank]["digest"] == never_killed[rank]["digest"]


def test_whole_sets_are_kept_and_go_as_one(told: dict[str, Any]):
    folder: Path = told["folder"]
    manifests = [name for name in told["left"] if name.endswith(".set.json")]
    assert manifests == ["checkpoint_epoch_0_step_4.set.json", "checkpoint_epoch_0_step_6.set.json"]
    named = [json.loads((folder / name).read_text()) for name in manifests]
    parts = {part["name"] for manifest in named for part in manifest["parts"]}
    assert {name for name in told["left"] if name.endswith(".pt")} == parts
    assert len(parts) == 4


@pytest.mark.parametrize("who", ["three", "alone"])
def test_another_number_of_ranks_takes_up_the_wholes(told: dict[str, Any], who: str):
    expected = told["never killed"][0]["six"]
    for rank in told[who]:
        assert rank == {"began": 6, "weights": expected}, told["said"]


def test_all_ranks_pass_over_a_set_of_which_one_part_is_damaged(told: dict[str, Any]):
    expected = told["never killed"][0]["four"]
    for rank in told["damaged"]:
        assert rank == {"began": 4, "weights": expected}, told["said"]
    assert "going on from checkpoint_epoch_0_step_4.set.json" in told["said"]
    assert "rank_1_of_2.pt is not the file that was written" in told["said"]
