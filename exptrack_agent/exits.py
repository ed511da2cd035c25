"""How the program ends: exit codes, and what `sys.exit` was given while runs were open.

At exit Python has forgotten a `SystemExit` and its code. So while a run is open `sys.exit` (and the `exit` of
interactive use) leaves a mark on the exception that it raises. When the mark is freed while no Python code
runs any more, nobody has caught the exception, and its code is the program's. `raise SystemExit(3)` bears no
mark: only a run that is a context (`with init(…):`) sees that one.
"""

from __future__ import annotations

import builtins
import functools
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

_INTERRUPTED = 130


def exit_code_of(error: BaseException | None) -> int:
    """The exit code of a program that this exception ends, 0 … 255."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        return whole_code(error.code) & 0xFF  # what the shell sees
    return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def whole_code(code: object) -> int:
    """What `sys.exit` makes of a code: None is 0, what is no number is 1."""
    if code is None:
        return 0
    return int(code) if isinstance(code, int) and abs(code) < 2**31 else 1


class ExitWatch:
    """Listens to `sys.exit` as long as somebody is interested, and then puts it back."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may end a run while another begins
        self._interested: weakref.WeakSet[Any] = weakref.WeakSet()
        self._wrapped: list[tuple[Any, str, Any, Any]] = []
        self._newest: weakref.ref[_Mark] | None = None
        self.uncaught: int | None = None
        """The code of the exit that nobody has caught."""

    def join(self, who: object) -> None:
        """Listen as long as `who` is there and has not left."""
        with self._lock:
            self._interested.add(who)
            if not self._wrapped:
                self._wrapped = [_wrap(self, *place) for place in _places()]

    def leave(self, who: object) -> None:
        """`who` needs to know no more. What somebody has wrapped around ours meanwhile is left alone."""
        with self._lock:
            self._interested.discard(who)
            if self._interested:
                return
            for owner, name, original, ours in self._wrapped:
                if vars(owner).get(name) is ours:
                    setattr(owner, name, original)
            self._wrapped = []

    def reset_after_fork(self) -> None:
        """Nobody is interested in a child, until it begins a run itself."""
        self._lock = threading.RLock()
        self._interested.clear()

    def heard(self, error: SystemExit) -> None:
        """`sys.exit` has raised this."""
        if threading.current_thread() is not threading.main_thread():
            return  # of a thread it ends that thread only
        mark = _Mark(self, exit_code_of(error))
        self._newest = weakref.ref(mark)
        error.__dict__["_exptrack_mark"] = mark

    def code_at_exit(self) -> int:
        """The code that the program ends with, as far as it can be known when it does."""
        if self.uncaught is not None:
            return self.uncaught
        mark = self._newest() if self._newest is not None else None
        return mark.code if mark is not None else 0  # a cycle of frames keeps it


class _Mark:
    """Goes with one exception, and is freed with it."""

    def __init__(self, watch: ExitWatch, code: int) -> None:
        self.code = code
        self._watch = watch

    def __del__(self) -> None:
        if sys._getframe().f_back is None:  # noqa: SLF001  # no other way to ask
            self._watch.uncaught = self.code


def _places() -> list[tuple[Any, str]]:
    """Where an exit begins: `sys.exit`, and the class of `exit` and `quit` where `site` made them."""
    places: list[tuple[Any, str]] = [(sys, "exit")]
    kind = type(getattr(builtins, "exit", None))
    if kind.__module__ == "_sitebuiltins":
        places.append((kind, "__call__"))
    return places


def _wrap(watch: ExitWatch, owner: Any, name: str) -> tuple[Any, str, Any, Any]:
    original: Callable[..., Any] = vars(owner)[name]

    @functools.wraps(original)
    def ours(*arguments: Any, **keywords: Any) -> Any:
        try:
            return original(*arguments, **keywords)
        except SystemExit as error:
            watch.heard(error)
            raise

    setattr(owner, name, ours)
    return owner, name, original, ours


exits = ExitWatch()
"""The process's one."""
