"""Signals by which a cluster asks a training to stop: noted for the training to obey, and for the run's end.

Nothing here touches a signal unless `Run.stop_on_signals` is called: a handler that only takes a note would
make a program deaf to SIGTERM that does not look at `run.stop_requested`.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import weakref
from collections.abc import Iterable
from types import FrameType
from typing import Any

from exptrack_agent.errors import Misuse

PREEMPTING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What schedulers send before they kill. (In `proto/SPEC.md` by number, as exit codes below zero.)"""
USUAL = (signal.SIGTERM, signal.SIGUSR1)

_runs: dict[int, weakref.WeakSet[Any]] = {}
"""By signal, the runs that want to know."""
_before: dict[int, Any] = {}
"""By signal, what handled it before us."""


def listen(run: Any, signals: Iterable[int]) -> None:
    """Have `run.stop_requested` set when one of the signals comes; what handled it before is called too.

    Raises:
        Misuse: it is no signal of this kind, or this is not the main thread, where Python has its handlers.
    """
    wanted = [_checked(number) for number in signals]
    if threading.current_thread() is not threading.main_thread():
        raise Misuse("stop_on_signals is called in the main thread: Python handles signals there")
    for number in wanted:
        if signal.getsignal(number) is not _handle:
            _before[number] = signal.signal(number, _handle)
        _runs.setdefault(number, weakref.WeakSet()).add(run)


def forget(run: Any) -> None:
    """This run is over. The last one gives its signals back; another thread than the main one cannot."""
    for number, runs in list(_runs.items()):
        runs.discard(run)
        if not runs and threading.current_thread() is threading.main_thread():
            _give_back(number)


def forget_all() -> None:
    """In a forked child: a worker that is told to end by SIGTERM has to end."""
    for number in list(_runs):
        with contextlib.suppress(ValueError):
            _give_back(number)


def code_at_end(code: int, stopped_by: int) -> int:
    """The exit code that a run closes with: minus the signal that it obeyed, unless it went wrong."""
    is_obeyed = stopped_by and code in (0, 128 + stopped_by)
    return -stopped_by if is_obeyed else code


def _give_back(number: int) -> None:
    del _runs[number]
    before = _before.pop(number, None)
    if signal.getsignal(number) is _handle:
        signal.signal(number, signal.SIG_DFL if before is None else before)


def _handle(number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    for run in list(_runs.get(number, ())):
        run.stopped_by = number
        run.stop_requested = run.stop_requested or name
    before = _before.get(number)
    if callable(before):
        before(number, frame)


def _checked(number: Any) -> int:
    if number not in PREEMPTING:
        known = ", ".join(each.name for each in PREEMPTING)
        raise Misuse(f"stop_on_signals takes {known}, not {number!r:.40}")
    return int(number)
