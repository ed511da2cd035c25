"""A trainer with a bug floods the daemon: nobody's rows are missing, and what was too much was not lost."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

import exptrack_agent as xt
from exptrack_agent.wire import Wire
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.control import Ack, Hello, decode_control, encode_control
from exptrack_proto.records import Open, Row
from tests.support.processes import Daemon, finished, trainer
from tests.support.readback import exptrack, steps_of

FLOOD = """
run = xt.init("flood", run_id="flood", autostart=False)
for part in range(100):
    run.log({f"name/{part}/{n}": 1.0 for n in range(1_000)})
for step in range(30_000):
    run.log({"x": 1.0}, step=step)
for _ in range(20):
    run.log({"big": "x" * 400_000})
print(run.stats()["dropped"])
run.finish(timeout_s=40)
"""


def log_honestly(home: Path, rows: int = 500) -> None:
    """Log, and see to it now and then that all is durable."""
    run = xt.init("honest", run_id="honest", home=home, autostart=False)
    for step in range(rows):
        run.log({"loss": 1.0}, step=step)
        if step % 50 == 0:
            assert run.flush(timeout_s=30)
    run.finish(timeout_s=30)
    assert steps_of(home, "honest", "loss") == list(range(rows))


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_beside_a_flood_every_row_arrives_the_flood_s_too(daemon: Daemon) -> None:
    flood = trainer(FLOOD, daemon.home)
    log_honestly(daemon.home)
    assert finished(flood, 120).strip() == "0"
    assert steps_of(daemon.home, "flood", "x") == list(range(30_000))
    assert exptrack("verify", "--home", str(daemon.home)).returncode == 0


class DeafTrainer:
    """Sends 1 MiB frames whatever is acknowledged; when told to, it listens, and sends what is missing."""

    ROWS, FRAMES = 20_000, 25

    def __init__(self, home: Path) -> None:
        beacon = json.loads((home / "daemon.json").read_bytes())
        self.stream = os.urandom(16)
        self.wire = Wire(beacon["frames"], beacon["control"])
        self.ends = [1 + number * self.ROWS for number in range(self.FRAMES + 1)]

    def flood(self) -> None:
        self._push(encode_item("deaf", self.stream, 0, Open(time_ns=1, project="p", name="deaf")))
        for first in self.ends[:-1]:
            self._push(self._frame(first))

    def listen(self) -> None:
        """Until all is durable."""
        acknowledged = 0
        while acknowledged < self.ends[-1]:
            self.wire.ask(encode_control(Hello(self.stream, "deaf", acknowledged, self.ends[-1])))
            self.wire.wait(1.0)
            while (data := self.wire.hear()) is not None:
                message = decode_control(data)
                assert isinstance(message, Ack)
                acknowledged = max(acknowledged, message.next)
            missing = [first for first in self.ends[:-1] if first + self.ROWS > acknowledged]
            for first in missing[:4]:
                self._push(self._frame(first))

    def _frame(self, first: int) -> bytes:
        body = [Row(step, 1, {"deaf/x": 0.5}) for step in range(first, first + self.ROWS)]
        return encode_rows("deaf", self.stream, first, body)

    def _push(self, frame: bytes) -> None:
        while not self.wire.send_frame(frame):
            time.sleep(0.001)


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_a_trainer_that_hears_no_acknowledgement_loses_nothing_and_holds_up_nobody(
    daemon: Daemon,
) -> None:
    deaf = DeafTrainer(daemon.home)
    flooding = threading.Thread(target=deaf.flood)
    flooding.start()
    try:
        log_honestly(daemon.home, rows=200)
    finally:
        flooding.join()
    deaf.listen()
    deaf.wire.close()
    assert steps_of(daemon.home, "deaf", "deaf/x") == list(range(1, deaf.ends[-1]))
