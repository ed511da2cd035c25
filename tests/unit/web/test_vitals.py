"""How home and machine are: summed over runs, read once."""

from __future__ import annotations

import pytest

from exptrack_daemon.store.reader import HomeReader, SinkState, open_home
from exptrack_daemon.web.api.health import gpus_of, health_document
from exptrack_daemon.web.index import RunIndex
from exptrack_daemon.web.vitals import Watch, summed
from tests.support.homes import HomeBuilder, TurnedClock


def state(name, status, reason="", lag=0, dead=0):
    return SinkState(name, status, reason, 1, lag, dead, 0)


def test_a_sink_is_as_bad_as_its_worst_run():
    states = [
        state("w", "done"),
        state("w", "unavailable", "503", 5, 1),
        state("w", "lagging", "", 2),
    ]
    (sink,) = summed([*states, state("w", "live")])
    assert (sink.status, sink.reason, sink.lag_rows, sink.dead_letters) == (
        "unavailable",
        "503",
        7,
        1,
    )
    assert dict(sink.runs) == {"done": 1, "unavailable": 1, "lagging": 1, "live": 1}
    (new,) = summed([state("w", "never heard of", "?"), state("w", "done")])
    assert new.status == "never heard of"
    assert summed([]) == []


@pytest.fixture
def homes(home):
    return HomeBuilder(home)


def test_an_empty_home_has_vitals_too(homes):
    watch = Watch(RunIndex(homes.home, TurnedClock()), TurnedClock())
    found = watch.look(open_home(homes.path))
    document = health_document(found)
    assert document["daemon"]["running"] is False
    assert document["daemon"]["uptime_s"] is None
    assert document["sinks"] == []
    assert document["disk"]["free_bytes"] > 0
    assert document["node"]["memory_total_bytes"] > 0


def test_runs_and_losses_are_counted_and_an_answer_is_kept_for_a_moment(homes, monkeypatch):
    homes.finished_run("a")
    run = homes.run("b")
    stream = run.stream()
    stream.lose(5)
    stream.lose(2, "malformed")
    run.close()
    clock = TurnedClock()
    watch = Watch(RunIndex(homes.home, clock), clock)
    reader = open_home(homes.path)
    found = watch.look(reader)
    assert found.runs == {"finished": 1, "crashed": 1}
    assert found.lost == {"ring full": 5, "malformed": 2}
    assert health_document(found)["lost_items"] == 7
    assert watch.look(reader) is found
    clock.seconds += 10
    assert watch.look(reader) is not found


def test_a_settled_run_is_not_asked_about_again(homes, monkeypatch):
    homes.finished_run("a")
    clock, asked = TurnedClock(), []

    def sink_states(self, view):
        asked.append(view.id)
        return [state("w", "done" if len(asked) > 1 else "lagging", "", 1)]

    monkeypatch.setattr(HomeReader, "sink_states", sink_states)
    monkeypatch.setattr(HomeReader, "sinks_of", lambda self, run_id: ["w"])
    watch = Watch(RunIndex(homes.home, clock), clock)
    reader = open_home(homes.path)
    for _ in range(4):
        watch.look(reader)
        clock.seconds += 10
    assert asked == ["a", "a"]


def test_values_of_gpus_stand_together():
    node = {"system/gpu/1/power_watts": 5.0, "system/gpu/1/x": 2, "system/cpu_percent": 1}
    assert gpus_of(node) == [{"index": 1, "power_watts": 5.0, "x": 2}]
