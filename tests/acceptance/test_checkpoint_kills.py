"""A training killed by SIGKILL in the middle of its saves, again and again, goes on bit for bit.

One process imports torch once and forks the lives of a training, one after the other; each goes on from
what the one before it left, tells where it stands, and is killed at a random moment (its writer too, now and
then). What is compared is everything that training depends on: weights, optimizer, schedule and random
numbers, against a training that was never killed. And no save whose call had returned may be lost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

IS_TORTURE = bool(os.environ.get("EXPTRACK_TORTURE"))
KILLS = 100 if IS_TORTURE else 15

LIVES = """
import hashlib, json, os, random, select, signal, sys, time
from pathlib import Path

import torch

from exptrack_agent.torch.checkpoints import Checkpoints

torch.set_num_threads(1)
FOLDER, KILLS, DICE = Path(sys.argv[1]), int(sys.argv[2]), random.Random(sys.argv[3])


class Training:
    def __init__(self):
        torch.manual_seed(1)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(400, 400), torch.nn.BatchNorm1d(400), torch.nn.Dropout(0.1)
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.01)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 10)
        self.steps = 0

    def step(self):
        self.optimizer.zero_grad()
        self.model(torch.randn(8, 400)).square().mean().backward()
        self.optimizer.step()
        self.scheduler.step()
        self.steps += 1

    def digest(self):
        digest = hashlib.sha256(bytes(torch.get_rng_state().tolist()))
        states = [self.model.state_dict(), *self.optimizer.state.values()]
        for state in states:
            for tensor in state.values():
                digest.update(tensor.detach().numpy().tobytes())
        digest.update(json.dumps(self.scheduler.state_dict()).encode())
        return digest.hexdigest()


class Reference:
    def __init__(self):
        self.training, self.digests = Training(), []
        self.random = torch.get_rng_state()

    def at(self, step):
        torch.set_rng_state(self.random)
        while len(self.digests) <= step:
            self.digests.append(self.training.digest())
            self.training.step()
        self.random = torch.get_rng_state()
        return self.digests[step]


def live(tell, last):
    training = Training()
    checkpoints = Checkpoints(FOLDER, keep_last=3, policy="wait")
    checkpoints.prepare(training.model, training.optimizer)  # the writer starts while we look
    state = checkpoints.restore(training.model, training.optimizer, training.scheduler)
    training.steps = state["step"] if state else 0
    tell("resumed", training.steps, training.digest())
    while last is None or training.steps < last:
        training.step()
        checkpoints.save(
            training.model, training.optimizer, epoch=0, step=training.steps, scheduler=training.scheduler
        )
        tell("staged", training.steps, checkpoints._saver.writer_pid)
    checkpoints.close()


class Life:
    def __init__(self, last=None):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(reading)
            try:
                live(lambda *words: os.write(writing, (json.dumps(words) + "\\n").encode()), last)
                os._exit(0)
            except BaseException as error:
                os.write(writing, (json.dumps(["broken", repr(error), 0]) + "\\n").encode())
                os._exit(1)
        os.close(writing)
        self.lines, self.rest, self.words = reading, b"", []

    def hear(self, timeout_s):
        if not select.select([self.lines], [], [], timeout_s)[0]:
            return False
        data = os.read(self.lines, 65536)
        *whole, self.rest = (self.rest + data).split(b"\\n")
        self.words += [json.loads(line) for line in whole]
        return bool(data)

    def hear_until(self, is_enough, timeout_s):
        deadline = time.monotonic() + timeout_s
        while not is_enough() and time.monotonic() < deadline:
            if not self.hear(max(0, deadline - time.monotonic())) and is_enough():
                return
        assert is_enough() or timeout_s < 10, self.words[-3:]

    def kill(self, with_writer):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        while self.hear(1):
            pass
        staged = [words for words in self.words if words[0] == "staged"]
        if with_writer and staged and staged[-1][2]:
            try:
                os.kill(staged[-1][2], signal.SIGKILL)
            except ProcessLookupError:
                pass
        os.close(self.lines)
        return max((words[1] for words in staged), default=0)


def committed():
    return len(list(FOLDER.glob("*.pt")))


reference, safe, resumed_at = Reference(), 0, []
for number in range(KILLS):
    life = Life()
    life.hear_until(lambda: life.words, 60)
    word, step, digest = life.words[0]
    assert word == "resumed", life.words
    assert step >= safe, f"{safe} was staged, and {step} is all there is"
    assert digest == reference.at(step), f"step {step} is not what it was"
    resumed_at.append(step)
    if DICE.random() < 0.7:
        life.hear_until(lambda: len(life.words) > 4, 30)  # the writer is at work
    life.hear_until(lambda: False, DICE.uniform(0, 0.4))
    safe = max(safe, life.kill(with_writer=DICE.random() < 0.25))

life = Life(last=safe + 5)
life.hear_until(lambda: any(words[1] == safe + 5 for words in life.words), 60)
assert os.waitpid(life.pid, 0)[1] == 0
training = Training()
state = Checkpoints(FOLDER).restore(training.model, training.optimizer, training.scheduler)
assert state["step"] == safe + 5
assert training.digest() == reference.at(safe + 5)
print(json.dumps({"kills": KILLS, "steps": safe + 5, "resumed_at": resumed_at}))
"""


@pytest.mark.acceptance
@pytest.mark.timeout(1_200 if IS_TORTURE else 180)
def test_a_training_killed_at_random_moments_always_goes_on_bit_for_bit(tmp_path: Path) -> None:
    seed = os.environ.get("EXPTRACK_SEED", "5")
    lives = subprocess.run(
        [sys.executable, "-c", LIVES, str(tmp_path), str(KILLS), seed],
        capture_output=True,
        text=True,
        check=False,
        timeout=1_100 if IS_TORTURE else 170,
    )
    assert lives.returncode == 0, lives.stderr[-3_000:]
    found = json.loads(lives.stdout.splitlines()[-1])
    assert found["kills"] == KILLS
    assert found["steps"] > KILLS
