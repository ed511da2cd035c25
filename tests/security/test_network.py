"""Nothing but W&B's own library speaks to other machines: every `connect` of trainer and daemon is seen."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.mlflow_places import prepare
from tests.support.processes import Daemon, finished, trainer, wait_until

WITH_MLFLOW = bool(os.environ.get("EXPTRACK_TORTURE"))
SINKS = ("tensorboard", "store", *(("mlflow",) if WITH_MLFLOW else ()))
SCRIPT = f"""
run = xt.init("quiet", run_id="quiet", autostart=False, sinks={SINKS!r}, config={{"lr": 0.1}})
for step in range(50):
    run.log({{"loss": 1.0}}, step=step)
run.log({{"said": xt.Text("hello")}})
run.finish(timeout_s=20)
"""
_LOCAL = re.compile(r'AF_UNIX|inet_addr\("127\.|inet_pton\(AF_INET6, "::1"|sin_port=htons\(0\)')


def strangers(trace: str) -> list[str]:
    """The lines of a trace that connect to another machine."""
    connects = [line for line in trace.splitlines() if "connect(" in line]
    return [line for line in connects if not _LOCAL.search(line)]


def test_who_is_a_stranger():
    unix = 'connect(3, {sa_family=AF_UNIX, sun_path="/tmp/x"}, 110) = 0'
    near = 'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = 0'
    far = near.replace("127.0.0.1", "192.0.2.1")
    assert strangers("\n".join([unix, near, far])) == [far]


@pytest.mark.acceptance
@pytest.mark.timeout(180)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not there")
def test_trainer_and_daemon_connect_to_nothing_but_this_machine(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, traces = tmp_path / "python", tmp_path / "traces"
    traces.mkdir()
    python.write_text(
        f"#!/bin/sh\nexec strace -D -qq -f --seccomp-bpf -e trace=connect -o {traces}/$$ {sys.executable} "
        '"$@"\n'
    )
    python.chmod(0o755)
    if WITH_MLFLOW:
        prepare(home)
    monkeypatch.setattr(sys, "executable", str(python))
    daemon = Daemon(home)
    try:
        daemon.start()
        finished(trainer(SCRIPT, home), 60)
        wait_until(lambda: not any(s["lag_rows"] for s in daemon.status()["sinks"]), 60)
    finally:
        daemon.end()
    seen = [path.read_text() for path in traces.iterdir()]
    assert len(seen) == 2
    assert "frames.sock" in "".join(seen)
    assert [line for trace in seen for line in strangers(trace)] == []
