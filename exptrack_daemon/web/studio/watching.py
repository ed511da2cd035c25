"""Runs and jobs in words and rows, as the tabs show them. Reads the store; decides nothing."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.web.studio.jobs import JobView
from exptrack_proto.frame import RUN_ID

MOST_RUNS = 100
_LOSSES = ("train/loss", "loss", "train_loss", "epoch/val_loss")
_MOST_VALUES = 60
_MOST_CHARS = 300
_STATE_WORDS = {
    "running": "Running",
    "stopping": "Stopping: it was asked to end",
    "finished": "Finished",
    "stopped": "Stopped, as you asked",
    "failed": "Failed",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job's run is; all None while it has no row."""

    step: int | None = None
    loss: Any = None

    @property
    def done(self) -> int:
        """Steps that were taken."""
        return 0 if self.step is None else self.step + 1


def progress_of(reader: HomeReader, run_id: str) -> Progress:
    """What the run's journal says now."""
    if not reader.home.journal(run_id).is_dir():
        return Progress()
    facts = reader.view(run_id).facts
    values = facts.summary
    loss = next((values[name] for name in _LOSSES if name in values), None)
    return Progress(facts.last_step, loss)


def job_words(job: JobView) -> str:
    """A job's state in a line."""
    words = _STATE_WORDS[job.state]
    if job.state != "failed":
        return words
    code = job.exit_code or 0
    why = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{words}: {why}; its last lines stand below"


def step_words(job: JobView, progress: Progress) -> str:
    """How far it is, in words."""
    if progress.step is None:
        return "no step yet" if job.is_running else "it logged no step"
    if job.spec.steps is None:
        return f"step {progress.step:,}"
    return f"{progress.done:,} of {job.spec.steps:,} steps ({100 * progress.done / job.spec.steps:.0f} %)"


def job_label(job: JobView) -> str:
    started = time.strftime("%H:%M:%S", time.localtime(job.started_ns / 1e9))
    return f"{job.number} · {job.spec.title} · {started}"


def job_row(job: JobView) -> list[str]:
    """A job as a row of the table: number, what, state, run, started, for how long."""
    started = time.strftime("%H:%M:%S", time.localtime(job.started_ns / 1e9))
    words = job.state if job.exit_code in (None, 0) else f"{job.state} ({job.exit_code})"
    return [str(job.number), job.spec.title, words, job.spec.run_id, started, span(job.elapsed_s)]


def span(seconds: float) -> str:
    """A time span in few characters."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(value: Any) -> str:
    """A value as people read it: six digits, NaN and infinities by name."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}…"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if math.isfinite(value) else {"nan": "NaN"}.get(str(value), str(value))


def run_choices(reader: HomeReader) -> list[tuple[str, str]]:
    """Label and id of the newest runs."""
    views = reader.runs()[:MOST_RUNS]
    return [(f"{v.run.project} / {v.run.name} · {v.status.name}", v.id) for v in views]


def find_run(reader: HomeReader, run_id: object) -> RunView | None:
    """The run with this id, if there is one."""
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        return None
    return reader.view(run_id) if reader.home.journal(run_id).is_dir() else None


def summary_rows(view: RunView) -> list[list[str]]:
    """What the run is and how far it got."""
    facts, run = view.facts, view.run
    lasted_s = max(0, facts.updated_ns - run.created_ns) / 1e9
    status = f"{view.status.name}: {view.status.detail}" if view.status.detail else view.status.name
    rows = {
        "Run": run.name,
        "Project": run.project,
        "Id": view.id,
        "Status": status,
        "Began": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.created_ns / 1e9)),
        "Lasted": span(lasted_s),
        "Last step": "none yet" if facts.last_step is None else f"{facts.last_step:,}",
        "Logged": f"{facts.points:,} values in {facts.rows:,} rows",
        "Lost": f"{facts.lost_items:,} items" if facts.lost_items else "nothing",
        "Tags": ", ".join(run.tags),
        "Notes": run.notes,
    }
    return [[name, number(value)] for name, value in rows.items() if value]


def value_rows(values: Mapping[str, Any]) -> list[list[str]]:
    """Names and values; of very many the first, and how many more there are."""
    rows = [[name, number(value)] for name, value in sorted(values.items())]
    if not rows:
        return [["nothing yet", ""]]
    left = len(rows) - _MOST_VALUES
    return rows if left <= 0 else [*rows[:_MOST_VALUES], ["…", f"and {left:,} more"]]


def sink_rows(reader: HomeReader, view: RunView) -> list[list[str]]:
    """How far each sink is with the run."""
    rows = [
        [sink.name, sink.status, f"{sink.rows:,}", f"{sink.lag_rows:,}", sink.reason]
        for sink in reader.sink_states(view)
    ]
    return rows or [["none yet", "", "", "", "no daemon has served this run so far"]]
