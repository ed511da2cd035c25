"""`exptrack top`: what runs now, how fast, and how far behind each sink is, on one screen."""

from __future__ import annotations

import contextlib
import select
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from exptrack_daemon.cli.frame import HomeOption, app, reading, show_notices, verb
from exptrack_daemon.cli.render import ago, clean, console, number, plural, size, styled, table
from exptrack_daemon.clock import SystemClock
from exptrack_daemon.locks import is_locked
from exptrack_daemon.store.reader import HomeReader, RunView

_FIRST_S = 0.5
_MOST_RUNS = 15
_ENDED = 5
_MOST_GPUS = 4


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen at one moment."""

    time_s: float
    views: list[RunView]
    sinks: dict[str, list[tuple[str, str, int]]]
    """By run: name, state and rows behind of each sink."""
    is_up: bool

    def rate(self, run: str, before: Glance | None) -> float | None:
        """Points a second since `before`; None when that does not tell."""
        if before is None or self.time_s <= before.time_s:
            return None
        points = {view.id: view.facts.points for view in before.views}
        if run not in points:
            return None
        now = next(view.facts.points for view in self.views if view.id == run)
        return (now - points[run]) / (self.time_s - before.time_s)


@verb(app, examples=["exptrack top", "exptrack top --every 5", "exptrack top --once"])
def top(
    home: HomeOption = None,
    every_s: Annotated[
        float, typer.Option("--every", min=0.2, metavar="SECONDS", help="Look so often.")
    ] = 2,
    once: Annotated[bool, typer.Option("--once", help="One look, then leave.")] = False,
) -> None:
    """Watch all running runs live.

    `q` or Ctrl-C leaves. In a pipe: one look.
    """
    reader = reading(home)
    before, now = None, look(reader)
    show_notices(reader)
    out = console()
    is_screen = out.is_terminal and not once
    if not is_screen:
        if any(view.status.name == "running" for view in now.views):
            threading.Event().wait(_FIRST_S)
            before, now = now, look(reader)
        out.print(board(now, before))
        return
    live = Live(board(now, before), console=out, screen=True, auto_refresh=False)
    with contextlib.suppress(KeyboardInterrupt), _keys() as wants_to_leave:
        try:  # not `with live`: a Ctrl-C that meets it starting would leave the other screen on
            live.start(refresh=True)
            while not wants_to_leave(_FIRST_S if before is None else every_s):
                before, now = now, look(reader)
                live.update(board(now, before), refresh=True)
        finally:
            live.stop()


def look(reader: HomeReader) -> Glance:
    """The runs that run, and those that ended last."""
    running = reader.query("status=running", limit=_MOST_RUNS).rows
    ended = reader.query("status!=running", "-updated", limit=_ENDED).rows
    views = reader.views([row.id for row in (*running, *ended)])
    sinks = {
        view.id: [(s.name, s.status, s.lag_rows) for s in reader.sink_states(view)]
        for view in views
    }
    return Glance(SystemClock().monotonic_s(), views, sinks, is_locked(reader.home.lock))


def board(now: Glance, before: Glance | None) -> RenderableType:
    """The screen."""
    running = sum(view.status.name == "running" for view in now.views)
    daemon = ("daemon running", "green") if now.is_up else ("no daemon", "yellow")
    head = Text.assemble(("exptrack top", "bold"), f"  {plural(running, 'run')} running  ", daemon)
    if not now.views:
        return Group(head, Text("\nNo runs yet. Make one: exptrack demo"))
    now_ns = SystemClock().now_ns()
    rows = [_row(view, now, before, now_ns) for view in now.views]
    columns = ("PROJECT/NAME~", "STATUS", "STEP#", "POINTS/S#", "SINKS BEHIND~", "UPDATED")
    machine = [Text(line, "dim") for line in _machine(now)]
    return Group(head, *machine, Text(""), table(columns, rows))


def _row(view: RunView, now: Glance, before: Glance | None, now_ns: int) -> tuple[str | Text, ...]:
    facts = view.facts
    is_running = view.status.name == "running"
    rate = now.rate(view.id, before) if is_running else None
    return (
        f"{clean(view.run.project, 40)}/{clean(view.run.name, 60)}",
        styled(view.status.name),
        "–" if facts.last_step is None else number(facts.last_step),
        "–" if rate is None else f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}",
        _behind(now.sinks[view.id]),
        ago(facts.updated_ns, now_ns),
    )


def _behind(sinks: list[tuple[str, str, int]]) -> str:
    late = [
        f"{clean(name, 20)} {number(rows)}" + ("" if state in ("live", "lagging") else f" {state}")
        for name, state, rows in sinks
        if rows or state in ("unavailable", "broken", "unreadable")
    ]
    return ", ".join(late) or ("none" if sinks else "–")


def _machine(now: Glance) -> Iterator[str]:
    """CPU, memory and GPUs, as the sampler of a running run said last."""
    values = next((v.facts.values.system for v in now.views if v.status.name == "running"), {})
    cpu, memory = values.get("system/cpu_percent"), values.get("system/memory_percent")
    if _is_number(cpu) and _is_number(memory):
        used = values.get("system/memory_used_bytes")
        shown = f" ({_short('bytes', used)})" if _is_number(used) else ""
        yield f"CPU {cpu:.0f} %   memory {memory:.0f} %{shown}"
    for index in range(_MOST_GPUS):
        gpu = {
            name.removeprefix(f"system/gpu/{index}/"): value
            for name, value in values.items()
            if name.startswith(f"system/gpu/{index}/") and _is_number(value)
        }
        parts = [
            f"{clean(name, 30)} {_short(name, value)}" for name, value in list(gpu.items())[:4]
        ]
        if parts:
            yield f"GPU {index}   {'   '.join(parts)}"


def _short(name: str, value: Any) -> str:
    return size(int(value)) if "bytes" in name else f"{value:.0f}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and value == value and abs(value) != float("inf")


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Asks, for so many seconds, whether `q` was pressed; the terminal is as before at the end."""
    if not sys.stdin.isatty():
        yield threading.Event().wait
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    kept = termios.tcgetattr(terminal)

    def wants_to_leave(seconds: float) -> bool:
        is_ready, _, _ = select.select([terminal], [], [], seconds)
        return bool(is_ready) and sys.stdin.read(1) in ("q", "Q", "\x04", "")

    try:
        tty.setcbreak(terminal)
        yield wants_to_leave
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, kept)
