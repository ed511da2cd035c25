"""A worker reports through its stdout, stops when its stdin ends, and nothing it prints is a report."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from exptrack_daemon.lifeline import BEAT_EVERY_S

BEGIN = """
import os, sys
from tests.support.clocks import FakeClock
from exptrack_daemon.lifeline import Lifeline
clock = FakeClock()
line = Lifeline(clock)
"""


def worker(code):
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_reports_are_json_lines_and_beats_are_at_most_two_a_second():
    code = """
for _ in range(10):
    line.beat(lambda: {"at": clock.seconds})
    clock.advance(0.2)
line.report(last=True)
"""
    out, errors = worker(code).communicate(timeout=20)
    assert errors == ""
    *beats, last = [json.loads(text) for text in out.splitlines()]
    times = [beat["at"] for beat in beats]
    assert len(times) == 4
    assert all(b - a >= BEAT_EVERY_S for a, b in pairwise(times))
    assert last == {"last": True}


def test_what_a_library_prints_goes_to_the_log_also_from_its_helpers():
    code = """
import subprocess
print('{"facts": "of a library"}', flush=True)
subprocess.run(["echo", "helper"])
line.report(ours=1)
"""
    out, errors = worker(code).communicate(timeout=20)
    assert out == '{"ours": 1}\n'
    assert "library" in errors
    assert "helper" in errors


@pytest.mark.parametrize("way", ["stdin", "SIGTERM"])
def test_it_stops_when_its_supervisor_ends_or_says_so(way):
    code = """
line.report(up=1)
while not line.should_stop():
    pass
"""
    process = worker(code)
    process.stdout.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGINT)  # Ctrl-C is the supervisor's
    time.sleep(0.1)
    assert process.poll() is None
    process.stdin.close() if way == "stdin" else process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stdout.close()
    process.stderr.close()
    process.stdin.close()


def test_a_supervisor_that_does_not_read_or_is_gone_costs_nothing():
    code = """
for number in range(2000):
    line.report(filler="x" * 100)
sys.stderr.write("done")
"""
    process = worker(code)
    process.stdout.close()
    assert process.stderr.read() == "done"
    assert process.wait(10) == 0
    process.stdin.close()
    process.stderr.close()
    process = worker(code)
    assert process.stderr.read() == "done"  # while nobody reads its stdout
    process.communicate(timeout=10)
