"""What a run's state is called, decided from its facts and from which owners are alive. Pure.

Each rank counts by its newest stream. The run is `running` while any of them is open and alive; after that
rank 0 (or the lowest there is) decides, and other ranks that went wrong are named. An open stream without a
living owner is `crashed`: its last rows are still in its ring until the daemon or `recover` takes them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import NamedTuple

from exptrack_daemon.journal.entries import Stream
from exptrack_daemon.store.facts import RunFacts, StreamFacts

PENDING = "its owner is gone and its last rows may still wait: exptrack recover"


class RunStatus(NamedTuple):
    name: str
    """`running`, `finished`, `failed`, `crashed`, `preempted`, or `unknown` when no trainer is known."""
    detail: str = ""
    exit_code: int | None = None


def status_of(facts: RunFacts, is_alive: Callable[[Stream], bool]) -> RunStatus:
    newest = newest_trainers(facts)
    if not newest:
        return RunStatus("unknown", "no trainer has opened the run yet")
    states = {stream.stream.rank: stream_status(stream, is_alive) for stream in newest}
    lead = newest[0]
    name = "running" if "running" in states.values() else states[lead.stream.rank]
    detail = _name_ranks(states, name)
    if lead.status == "open" and name == "crashed":
        detail = "; ".join(part for part in (PENDING, detail) if part)
    if name == "preempted" and lead.exit_code is not None:
        obeyed = f"asked to stop by {signal.Signals(-lead.exit_code).name}"
        detail = "; ".join(part for part in (obeyed, detail) if part)
    return RunStatus(name, detail, lead.exit_code)


def newest_trainers(facts: RunFacts) -> list[StreamFacts]:
    """The newest trainer stream of each rank, lowest rank first."""
    newest: dict[int, StreamFacts] = {}
    for stream in facts.trainers:
        held = newest.get(stream.stream.rank)
        if held is None or stream.stream.attempt >= held.stream.attempt:
            newest[stream.stream.rank] = stream
    return [newest[rank] for rank in sorted(newest)]


def stream_status(stream: StreamFacts, is_alive: Callable[[Stream], bool]) -> str:
    if stream.status != "open":
        return stream.status
    return "running" if is_alive(stream.stream) else "crashed"


def journal_status(facts: RunFacts) -> str:
    """What the journal alone says: `open` where the owner's lock would have to decide."""
    newest = newest_trainers(facts)
    if not newest:
        return "unknown"
    return "open" if any(s.status == "open" for s in newest) else newest[0].status


def _name_ranks(states: dict[int, str], run: str) -> str:
    """Name the ranks that went another, worse way than the run."""
    parts = []
    for bad in ("crashed", "failed", "preempted"):
        ranks = [rank for rank, state in states.items() if state == bad]
        if ranks and bad != run:
            parts.append(f"{_ranks(ranks)} {bad}")
        elif ranks and len(ranks) < len(states):
            parts.append(f"only {_ranks(ranks)}")
    return "; ".join(parts)


def _ranks(ranks: list[int]) -> str:
    shown = ", ".join(map(str, ranks[:5]))
    more = f" and {len(ranks) - 5} more" if len(ranks) > 5 else ""
    return f"rank{'s' if len(ranks) > 1 else ''} {shown}{more}"
