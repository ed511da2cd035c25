"""`/metrics`: valid exposition format, by a parser of our own, whatever names the home holds."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from exptrack_daemon.store.reader import SinkState
from exptrack_daemon.web.prometheus import render
from exptrack_daemon.web.vitals import Vitals, summed

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")


def parse(text):
    """Families by name, as the exposition format's grammar has them; raises where it is broken."""
    assert text.endswith("\n")
    families, current = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            assert current not in families, "each family stands once"
            assert re.fullmatch(NAME, current)
            families[current] = {}
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2:] == [current, "gauge"]
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            name, labels, value = found.groups()
            assert name == current
            assert labels not in families[current], "each sample stands once"
            families[current][labels] = float(value)
    return families


def state(name, status="done", lag=0, dead=0):
    return SinkState(name, status, "because", 10, lag, dead, 0)


def vitals(**fields):
    usual = {
        "daemon": {"running": False, "responding": False},
        "now_ns": 10_000_000_000,
        "runs": {},
        "sinks": [],
        "lost": {},
        "disk_free_bytes": 5,
        "disk_total_bytes": 10,
        "memory_total_bytes": 100,
        "node": {},
        "notices": [],
    }
    return Vitals(**{**usual, **fields})


def test_an_empty_home_without_a_daemon():
    families = parse(render(vitals()))
    assert families["exptrack_daemon_up"] == {None: 0}
    assert families["exptrack_runs"]['status="running"'] == 0
    assert "exptrack_daemon_uptime_seconds" not in families
    assert families["exptrack_home_disk_free_bytes"] == {None: 5}


def test_everything_there_is():
    node = {
        "system/cpu_percent": 25.0,
        "system/memory_used_bytes": 50,
        "system/gpu/0/utilization_percent": 80,
        "system/gpu/1/utilization_percent": 20,
        "system/gpu/1/power_watts": 99.5,
    }
    families = parse(
        render(
            vitals(
                daemon={"running": True, "started_ns": 4_000_000_000, "version": "1.0"},
                runs={"running": 2, "unknown": 1},
                sinks=summed([state("wandb", "lagging", 7, 1), state("wandb"), state("catalog")]),
                lost=Counter({"ring full": 3, "malformed": 1}),
                node=node,
            )
        )
    )
    assert families["exptrack_daemon_up"] == {None: 1}
    assert families["exptrack_daemon_uptime_seconds"] == {None: 6}
    assert families["exptrack_daemon_info"] == {'version="1.0"': 1}
    assert families["exptrack_runs"]['status="unknown"'] == 1
    assert families["exptrack_sink_lag_rows"] == {'sink="catalog"': 0, 'sink="wandb"': 7}
    assert families["exptrack_sink_dead_letters"]['sink="wandb"'] == 1
    assert families["exptrack_sink_runs"]['sink="wandb",status="lagging"'] == 1
    assert families["exptrack_lost_items"] == {'reason="ring full"': 3, 'reason="malformed"': 1}
    assert families["exptrack_lost_items_sum"] == {None: 4}
    assert families["exptrack_node_cpu_ratio"] == {None: 0.25}
    assert families["exptrack_gpu_utilization_ratio"] == {'gpu="0"': 0.8, 'gpu="1"': 0.2}
    assert families["exptrack_gpu_power_watts"] == {'gpu="1"': 99.5}


HOSTILE = ['a"b', "a\\", "a\nb", "ü", "{}", "", "\ud800", "x" * 5_000, 'a="b",c', "# HELP x"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_do_not_break_the_format(text):
    page = render(
        vitals(
            lost={text: 1},
            sinks=summed([state(text)]),
            daemon={"running": True, "started_ns": 1, "version": text},
            runs={text: 1},
        )
    )
    parse(page).keys()
    page.encode()


def test_the_number_of_reasons_is_bounded_and_their_sum_is_not():
    families = parse(render(vitals(lost={f"r{i}": i for i in range(100)})))
    assert len(families["exptrack_lost_items"]) == 20
    assert families["exptrack_lost_items_sum"] == {None: 4950}


def test_a_daemon_that_hangs_is_not_up():
    page = render(vitals(daemon={"running": True, "responding": False}))
    assert parse(page)["exptrack_daemon_up"] == {None: 0}
