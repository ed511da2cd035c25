"""`run.log` with values on a (fake) accelerator: nothing waits, all of it arrives, in the right rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import exptrack_agent as xt
from exptrack_agent.device import DeviceValues
from exptrack_daemon.store import open_home
from tests.support.processes import Daemon, wait_until
from tests.unit.torch.fake_device import FakeDevice, FakeTensor

pytestmark = pytest.mark.skipif(
    not hasattr(xt.Run, "land"), reason="Run does not take device values yet (land, log_beside)"
)


class TorchLike(FakeTensor):
    """What the agent takes for a tensor of torch on an accelerator."""

    def is_complex(self) -> bool:
        return False


TorchLike.__module__ = "torch"


def on(device: FakeDevice, value: float) -> Any:
    return TorchLike(device, [value], "float")


@pytest.mark.timeout(120)
def test_device_values_arrive_in_rows_of_their_step_and_nobody_waited(daemon: Daemon, home: Path):
    device = FakeDevice(slots=16)
    with xt.init(project="device", home=home) as run:
        run.landing = DeviceValues(device)
        for step in range(10):
            loss = on(device, float(step))
            run.log({"loss": loss, "lr": 0.1, "deep": {"norm": on(device, step * 2.0)}}, step=step)
            loss.fill_(-1.0)  # later on the device: not what was logged
        assert device.waits == 0
        assert run.stats()["refused"] == 0
        device.work()
        assert run.flush()
        assert run.summary["loss"] == 9.0
        assert run.summary["lr"] == 0.1
    reader = open_home(home)
    found: dict[str, dict[int, Any]] = {}
    for point in reader.points(reader.find(run.id)):
        found.setdefault(point.name, {})[point.step] = point.value
    assert found["loss"] == {step: float(step) for step in range(10)}
    assert found["deep/norm"] == {step: step * 2.0 for step in range(10)}
    assert found["lr"] == dict.fromkeys(range(10), 0.1)
    assert device.waits == 0


def test_values_still_under_way_at_the_end_are_waited_for_a_moment_only(home: Path):
    device = FakeDevice()
    run = xt.init(project="device", home=home, mode="offline")
    run.landing = DeviceValues(device)
    run.log({"loss": on(device, 1.0)}, step=0)
    run.finish(timeout_s=0.05)
    assert device.waits == 0
    assert not run.landing.is_empty


def test_the_next_step_of_the_user_is_not_moved_by_what_lands(home: Path):
    device = FakeDevice()
    run = xt.init(project="device", home=home, mode="offline")
    run.landing = DeviceValues(device)
    run.log({"loss": on(device, 1.0)}, step=100)
    run.log({"a": 1.0}, step=7)
    device.work()
    wait_until(lambda: run.landing.is_empty, 5)
    run.log({"a": 2.0})
    assert run.rows == 3
    assert run._next_step == 9
    run.finish()


def test_what_cannot_be_fetched_is_refused_as_before(home: Path):
    run = xt.init(project="device", home=home, mode="offline")
    run.log({"many": TorchLike(FakeDevice(), [1.0, 2.0], "float"), "ok": 1.0}, step=0)
    assert run.stats()["refused"] == 1
    assert run.rows == 1
    run.finish()
