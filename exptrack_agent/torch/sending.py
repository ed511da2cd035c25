"""How numbers reach a run: at once from the CPU, by a slot from a device, and never as an exception."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from exptrack_agent.device import device_values
from exptrack_agent.errors import ExptrackAgentError
from exptrack_agent.notices import say_once


@contextmanager
def kept_from_training(what: str) -> Iterator[None]:
    """A fault of ours is said once, and training goes on; what the caller did wrong is raised."""
    try:
        yield
    except ExptrackAgentError:
        raise
    except Exception as error:  # noqa: BLE001  # the boundary between watching and training
        say_once(f"{what} {type(error).__name__}", f"{what} was not recorded: {error!r:.300}")


_moment = threading.local()
"""While numbers that have landed are used: when they were put, in ns."""


def put_row(run: Any, values: Mapping[str, Any], step: int | None) -> None:
    """Log a row beside the user's own: it does not count as the user's next step where the run can tell."""
    if not values:
        return
    beside = getattr(run, "log_beside", None)
    if beside is None or step is None:
        run.log(values, step=step)
        return
    beside(values, step, getattr(_moment, "time_ns", None) or time.time_ns())


def put_later(
    run: Any, tensors: Sequence[Any], use: Callable[[list[float]], None], *, what: str
) -> None:
    """Take tensors of one device as they are now; `use` gets their numbers when they have landed."""
    put_at = time.time_ns()

    def guarded(numbers: list[float]) -> None:
        _moment.time_ns = put_at
        try:
            with kept_from_training(what):
                use(numbers)
        finally:
            _moment.time_ns = None

    values = device_values(run)
    values.poll()
    values.put(tensors, guarded)


def put_row_later(run: Any, values: Sequence[tuple[str, Any]], step: int) -> None:
    """Log tensors of one device, each one number, as a row of this step when they have landed."""
    names = [name for name, _ in values]

    def log(numbers: list[float]) -> None:
        put_row(run, dict(zip(names, numbers, strict=True)), step)

    put_later(run, [tensor for _, tensor in values], log, what="a device value")


def is_on_device(value: Any) -> bool:
    """Whether reading a tensor would wait for a device."""
    return getattr(getattr(value, "device", None), "type", "cpu") not in ("cpu", "meta")
