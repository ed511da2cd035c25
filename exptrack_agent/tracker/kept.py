"""What stands between the tracker's calls and training: nothing that goes wrong here may stop it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from exptrack_agent.errors import ExptrackAgentError
from exptrack_agent.launch import daemon_is_running
from exptrack_agent.notices import say_once
from exptrack_agent.run import Run


@contextlib.contextmanager
def kept_from_training(what: str) -> Iterator[None]:
    """Whatever goes wrong inside is said once; only misuse, which is the caller's to mend, is raised."""
    try:
        yield
    except ExptrackAgentError:
        raise
    except Exception as error:  # noqa: BLE001  # a public call of the agent: training must go on
        say_once(
            f"tracker {what}", f"{what} could not be recorded ({type(error).__name__}: {error})"
        )


def mapping_of(values: Any) -> Mapping[str, Any]:
    """A mapping as it is; a dataclass or a namespace as one."""
    if isinstance(values, Mapping):
        return values
    if dataclasses.is_dataclass(values) and not isinstance(values, type):
        return dataclasses.asdict(values)
    named: dict[str, Any] = vars(values)
    return named


def health_of(run: Run, problems: list[str], *, had_time: bool) -> dict[str, Any]:
    """What is wrong with a run, beside what is known already; `had_time`: a daemon should be up by now."""
    stats = run.stats()
    is_running = daemon_is_running(run.home)
    found = list(problems)
    if run.mode == "online" and not is_running and had_time:
        found.append("no daemon is running: rows wait in memory and in the spool")
    if stats["dropped"]:
        found.append(f"{stats['dropped']} items were dropped for want of room")
    if stats["refused"]:
        found.append(f"{stats['refused']} values were left out: they are no metrics")
    if run.stop_requested:
        found.append(f"the run was asked to stop: {run.stop_requested}")
    return {"ok": not found, "problems": found, "is_daemon_running": is_running, **stats}
