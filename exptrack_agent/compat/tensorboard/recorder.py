"""What is under a writer: its run, opened again when something is added after `close`, and the door to it."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from exptrack_agent.compat.tensorboard.places import remember, run_options
from exptrack_agent.errors import ExptrackAgentError
from exptrack_agent.integrations.items import put_media
from exptrack_agent.notices import say_once
from exptrack_agent.run import Run
from exptrack_agent.start import init
from exptrack_agent.values import NotScalar, coerce_scalar, is_on_accelerator


class Recorder:
    """One run at a time, in one folder of event files."""

    def __init__(self, log_dir: str, options: Mapping[str, Any]) -> None:
        self.log_dir = log_dir
        self._options = dict(options)
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._run: Run | None = None
        self._log_scalar: Callable[[str, float, int], bool] = _takes_nothing
        self._opened()

    def _opened(self) -> Run:
        """The run, opened if there is none."""
        if self._run is not None:
            return self._run
        run = self._run = init(**run_options(self.log_dir, self._options))
        self._log_scalar = run.log_scalar
        remember(self.log_dir, run.id)
        # the same writer goes on with its own run, whatever stands in the folder by then
        self._options |= {"run_id": run.id, "resume": "allow"}
        return run

    def _close(self, exit_code: int) -> None:
        run, self._run, self._log_scalar = self._run, None, _takes_nothing
        if run is not None:
            run.finish(exit_code)

    def _step(self, tag: str, given: Any) -> int:
        """The step, or how many calls this tag had."""
        if given is None:
            self._counts[tag] += 1
            return self._counts[tag] - 1
        return int(given)

    def _add_row(self, row: dict[str, Any], step: int, walltime: float | None) -> None:
        """Record numbers, at a time of their own if one is given."""
        run = self._opened()
        if walltime is None or any(is_on_accelerator(value) for value in row.values()):
            run.log(row, step)
            return
        with kept_from_training("add_scalar"):
            plain = {name: _number(value) for name, value in row.items()}
            run.log_beside(plain, step, _ns(walltime))

    def _add(
        self, tag: str, make: Callable[[], Any], step: int | None, walltime: float | None
    ) -> None:
        """Record a media object."""
        with kept_from_training(tag):
            at = None if walltime is None else _ns(walltime)
            put_media(self._opened(), tag, make(), self._step(tag, step), at)

    def _add_from_device(
        self, tag: str, values: Any, step: int | None, walltime: float | None
    ) -> None:
        """Record the distribution of a tensor that stands on an accelerator."""
        from exptrack_agent.torch.device_histograms import put_histogram

        with kept_from_training(tag):
            at = time.time_ns() if walltime is None else _ns(walltime)
            put_histogram(self._opened(), tag, values, self._step(tag, step), at)


@contextlib.contextmanager
def kept_from_training(what: str) -> Iterator[None]:
    """What cannot be recorded is said once; training goes on."""
    try:
        yield
    except ExptrackAgentError:
        raise
    except NotScalar as error:
        say_once(f"tb {error}", f"{what}: {error}")
    except Exception as error:  # noqa: BLE001  # the boundary between recording and training
        say_once(f"tb {what} {type(error).__name__}", f"{what} was not recorded: {error!r:.300}")


def on_host(values: Any) -> Any:
    """As SummaryWriter does, and so it waits for the device."""
    return values.detach().cpu() if is_on_accelerator(values) else values


def _takes_nothing(_tag: str, _value: float, _step: int) -> bool:
    return False


def _number(value: Any) -> Any:
    return value if isinstance(value, float | int) else coerce_scalar(value)


def _ns(walltime: float) -> int:
    return max(0, int(walltime * 1e9))
