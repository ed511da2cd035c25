"""Sinks of a plug-in package, for real daemons: installed for one process tree through PYTHONPATH."""

from __future__ import annotations

import os
from pathlib import Path

SINKS = '''
import json, os, subprocess, sys, time

class _Sink:
    """Writes one line a batch; `HOME/obey` may tell it to block."""
    def __init__(self, run, context, saved):
        self.home, self.done, self.end = context.home.path, saved, None
        self.announce = context.announce_child
    def write(self, batch):
        order = self.home / "obey"
        while order.exists() and order.read_text() == "block":
            time.sleep(0.05)
        if order.exists() and order.read_text() == "hang":
            command = [sys.executable, "-c", "import time; time.sleep(600)"]
            child = subprocess.Popen(command, start_new_session=True)
            self.announce(child.pid)
            (self.home / "helper").write_text(str(child.pid))
            time.sleep(600)
        with (self.home / "taken").open("a") as file:
            file.write(json.dumps([batch.run.run_id, len(batch.entries), batch.end.rows]) + "\\n")
        self.end = batch.end
    def settled(self):
        from exptrack_daemon.sinks.base import Settled
        end, self.end = self.end, None
        return None if end is None else Settled(end, {})
    def close(self):
        pass

def obedient(run, context, saved):
    return _Sink(run, context, saved)

def lacking(run, context, saved):
    raise AssertionError("never reached")
'''


def install(folder: Path) -> str:
    """Make a package with the sinks `obedient` and `lacking`; returns the PYTHONPATH that shows it."""
    (folder / "our_sinks.py").write_text(SINKS)
    (folder / "broken_sinks.py").write_text("import a_library_that_nobody_has\n")
    info = folder / "our_sinks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-sinks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[exptrack.sinks]\nobedient = our_sinks:obedient\nlacking = broken_sinks:open_sink\n"
    )
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
