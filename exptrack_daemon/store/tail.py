"""Following a run live: its last rows, then what comes, until no trainer is left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from exptrack_daemon.journal.entries import Entry, Rows
from exptrack_daemon.store.facts import RunFacts
from exptrack_daemon.store.journals import Walk, fold_entry
from exptrack_daemon.store.status import RunStatus, journal_status

_EVERY_S = 0.2
_ASKS_FOR_CLOSE = 25
"""How often a trainer that died before our eyes is asked about: the daemon brings in its last rows."""


class Tail(NamedTuple):
    """What to follow."""

    last_rows: int
    """So many rows that are there already come first."""
    system: bool = False
    """The sampler's rows too."""


def follow(
    walk: Walk,
    facts: RunFacts,
    status: Callable[[RunFacts], RunStatus],
    tail: Tail,
    wait: Callable[[float], bool],
) -> Iterator[Entry]:
    """The last rows that the walk meets, then what comes. Folds into `facts` as it goes.

    `wait(seconds)` is called when there is nothing new; when it says True, that is the end.
    """
    yield from last_entries(_folding(walk, facts, tail), tail.last_rows)
    asks_left = 0
    while True:
        # the status first: a trainer that ends after this is asked about once more
        is_running = status(facts).name == "running"
        came = False
        for entry in _folding(walk, facts, tail):
            came = True
            yield entry
        if came:
            continue
        if not is_running and (asks_left == 0 or journal_status(facts) != "open"):
            return
        asks_left = _ASKS_FOR_CLOSE if is_running else asks_left - 1
        if wait(_EVERY_S):
            return


def last_entries(entries: Iterable[Entry], rows: int) -> Iterator[Entry]:
    """The entries from the last `rows` rows on, the first of them cut to fit."""
    kept: deque[Entry] = deque()
    held = 0
    for entry in entries:
        kept.append(entry)
        held += _rows_of(entry)
        while kept and held - _rows_of(kept[0]) >= rows:
            held -= _rows_of(kept.popleft())
    for entry in kept:
        over, held = max(0, held - rows), min(held, rows)
        yield _without_first(entry, over) if isinstance(entry, Rows) and over else entry


def _folding(walk: Walk, facts: RunFacts, tail: Tail) -> Iterator[Entry]:
    """What is new in the journal, folded into the facts as it goes by."""
    for found, entry in walk.entries():
        facts.position = found.end
        if entry is not None:
            fold_entry(facts, entry, walk.replay.run)
            if tail.system or entry.stream.role == "trainer":
                yield entry


def _rows_of(entry: Entry) -> int:
    return len(entry.rows) if isinstance(entry, Rows) else 0


def _without_first(entry: Rows, rows: int) -> Rows:
    return Rows(entry.stream, entry.first + rows, entry.ordinal + rows, entry.rows[rows:])
