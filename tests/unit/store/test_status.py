"""What a run's state is called."""

from __future__ import annotations

from exptrack_daemon.journal.entries import Event, Stream
from exptrack_daemon.store.facts import fresh
from exptrack_daemon.store.status import PENDING, journal_status, status_of
from exptrack_proto.records import Close, Open

OPEN = Open(time_ns=1, project="p", name="n")


def run_of(*streams: tuple[int, int, str | None]):
    """Facts with streams of (rank, attempt, how it closed)."""
    facts = fresh("r")
    for number, (rank, attempt, closed) in enumerate(streams):
        info = Stream(f"{number:032x}", rank, 1, attempt, "trainer", "h", 1, 1)
        facts.fold(Event(info, 0, 0, OPEN))
        if closed:
            code = {"finished": 0, "preempted": -15}.get(closed, 1)
            status = "failed" if closed == "preempted" else closed
            facts.fold(Event(info, 1, 0, Close(time_ns=2, status=status, exit_code=code)))
    return facts


def dead(_):
    return False


def alive(_):
    return True


def test_a_run_without_a_trainer_is_unknown():
    facts = fresh("r")
    sampler = Stream("0" * 32, 0, 1, 1, "sampler", "h", 1, 1)
    facts.fold(Event(sampler, 0, 0, OPEN))
    assert status_of(facts, alive).name == "unknown"
    assert journal_status(facts) == "unknown"


def test_an_open_stream_with_a_living_owner_runs():
    assert status_of(run_of((0, 1, None)), alive).name == "running"


def test_an_open_stream_without_an_owner_crashed_and_says_what_is_pending():
    status = status_of(run_of((0, 1, None)), dead)
    assert status.name == "crashed"
    assert PENDING in status.detail


def test_rank_0_decides_and_the_other_ranks_that_went_wrong_are_named():
    status = status_of(run_of((0, 1, "finished"), (1, 1, "finished"), (3, 1, "crashed")), dead)
    assert status == ("finished", "rank 3 crashed", 0)


def test_a_run_that_obeyed_a_clusters_signal_is_preempted():
    assert status_of(run_of((0, 1, "preempted")), dead) == (
        *("preempted", "asked to stop by SIGTERM", -15),
    )
    status = status_of(run_of((0, 1, "finished"), (1, 1, "preempted")), dead)
    assert status == ("finished", "rank 1 preempted", 0)


def test_many_bad_ranks_are_not_all_listed():
    streams = [(0, 1, "finished"), *((rank, 1, "failed") for rank in range(1, 9))]
    assert status_of(run_of(*streams), dead).detail == "ranks 1, 2, 3, 4, 5 and 3 more failed"


def test_a_crash_of_rank_0_says_that_the_others_did_not():
    status = status_of(run_of((0, 1, "crashed"), (1, 1, "finished")), dead)
    assert status[:2] == ("crashed", "only rank 0")


def test_the_newest_attempt_counts():
    assert status_of(run_of((0, 1, "crashed"), (0, 2, "finished")), dead) == ("finished", "", 0)
    assert status_of(run_of((0, 1, "failed"), (0, 2, None)), alive).name == "running"


def test_a_rank_that_still_runs_keeps_the_run_running():
    assert status_of(run_of((0, 1, "finished"), (1, 1, None)), alive).name == "running"


def test_the_lowest_rank_decides_when_there_is_no_rank_0():
    assert status_of(run_of((5, 1, "failed"), (7, 1, "finished")), dead).name == "failed"


def test_the_journal_alone_says_open_where_a_lock_would_decide():
    assert journal_status(run_of((0, 1, None))) == "open"
    assert journal_status(run_of((0, 1, "finished"), (1, 1, None))) == "open"
    assert journal_status(run_of((0, 1, "failed"))) == "failed"
