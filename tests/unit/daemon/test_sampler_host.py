"""Readings of machine and process trees: right for a process whose load is known, absent when it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from exptrack_daemon.sampler import host
from exptrack_daemon.sampler.host import HostSampler, ProcessSampler

BUSY = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
PARENT = (
    "import subprocess, sys\n"
    f"child = subprocess.Popen([sys.executable, '-c', {BUSY!r}])\n"
    "data = bytearray(b'x') * (64 << 20)\nprint(child.pid, flush=True)\nsys.stdin.read()\n"
    "child.kill(); child.wait()"
)


@pytest.fixture
def tree():
    """A parent with 64 MiB and a child that takes a core."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child = int(process.stdout.readline())
    yield process.pid, child
    process.communicate(timeout=10)


def cpu_s(*pids):
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


def test_cpu_memory_and_threads_are_those_of_the_whole_tree(tree):
    sampler = ProcessSampler()
    sampler.look()
    first = sampler.read(tree[0], "p")
    began, used = time.monotonic(), cpu_s(*tree)
    assert "p/cpu_percent" not in first, "there is no interval yet"
    time.sleep(1)
    sampler.look()
    values = sampler.read(tree[0], "p")
    wanted = 100 * (cpu_s(*tree) - used) / (time.monotonic() - began)
    assert values["p/cpu_percent"] == pytest.approx(wanted, abs=12)
    assert values["p/cpu_percent"] > 10
    assert values["p/processes"] == 2
    assert values["p/threads"] >= 2
    assert values["p/memory_rss_bytes"] > 64 << 20
    rss = sum(psutil.Process(pid).memory_info().rss for pid in tree)
    assert values["p/memory_rss_bytes"] == pytest.approx(rss, rel=0.1)


def test_a_process_that_is_gone_has_no_values_and_is_forgotten(tree):
    sampler = ProcessSampler()
    sampler.look()
    assert sampler.read(2**22 + 7, "p") == {}
    sampler.read(tree[0], "p")
    assert len(sampler._known) == 2
    for _ in range(2):
        sampler.look()
    assert sampler._known == {}


def test_children_are_found_without_proc_too(tree, monkeypatch, tmp_path):
    linux = host._children_by_parent()
    assert tree[1] in linux[tree[0]]
    monkeypatch.setattr(host, "_PROC_SELF", tmp_path / "missing")
    assert tree[1] in host._children_by_parent()[tree[0]]


def test_the_node_has_cpu_memory_and_from_the_second_reading_on_rates():
    sampler = HostSampler()
    first = sampler.read(100.0)
    second = sampler.read(102.0)
    assert 0 < first["system/memory_used_bytes"] < psutil.virtual_memory().total
    assert 0 <= second["system/cpu_percent"] <= 100
    assert second["system/load_1m"] == pytest.approx(os.getloadavg()[0], abs=2)
    rates = {name for name in second if name.endswith("_per_s")}
    assert rates
    assert rates.isdisjoint(first)
    assert all(second[name] >= 0 for name in rates)


def test_counters_that_a_machine_does_not_give_are_left_out(monkeypatch):
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "net_io_counters", lambda: (_ for _ in ()).throw(OSError()))
    sampler = HostSampler()
    sampler.read(1.0)
    assert not [name for name in sampler.read(2.0) if name.endswith("_per_s")]


def test_a_counter_that_begins_anew_is_no_negative_rate(monkeypatch):
    shown = iter([{"disk_read": 500}, {"disk_read": 20}])
    monkeypatch.setattr(host, "_io_counters", lambda: next(shown))
    sampler = HostSampler()
    sampler.read(1.0)
    assert sampler.read(2.0)["system/disk_read_bytes_per_s"] == 0
