"""`exptrack stop` with real processes: the training that was asked sees it, and no other."""

from __future__ import annotations

import pytest

from tests.support.processes import Daemon, finished, trainer, wait_until
from tests.support.readback import exptrack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

UNTIL_ASKED = """
name = sys.argv[1]
run = xt.init("stop", name=name, run_id=name, autostart=False, resume="allow")
until = time.monotonic() + float(sys.argv[2])
while not run.stop_requested and time.monotonic() < until:
    run.log({"loss": 1.0})
    time.sleep(0.05)
print(run.stop_requested or "nobody asked")
run.finish()
"""


def test_the_run_that_is_asked_stops_and_no_other(daemon: Daemon) -> None:
    home = ["--home", str(daemon.home)]
    asked = trainer(UNTIL_ASKED, daemon.home, "asked", "60")
    other = trainer(UNTIL_ASKED, daemon.home, "other", "12")
    wait_until(lambda: exptrack("runs", "--json", *home).stdout.count('"running"') == 2, 30)

    stopped = exptrack("stop", "asked", "--reason", "diverged", "--wait", "30", *home)

    assert stopped.returncode == 0, stopped.stderr
    assert "Asked stop/asked (asked) to stop." in stopped.stdout
    assert "finished" in stopped.stdout
    assert finished(asked).strip() == "diverged"
    assert finished(other).strip() == "nobody asked"
    again = trainer(UNTIL_ASKED, daemon.home, "asked", "4")
    assert finished(again).strip() == "nobody asked"
    refused = exptrack("stop", "asked", *home)
    assert refused.returncode != 0
    assert "is finished, so there is nothing to stop" in refused.stderr
