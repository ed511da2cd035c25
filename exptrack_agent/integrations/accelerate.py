"""Accelerate: a tracker by the name "exptrack".

    import exptrack_agent.integrations.accelerate               # makes the name known
    accelerator = Accelerator(log_with="exptrack")
    accelerator.init_trackers("mnist", config={…}, init_kwargs={"exptrack": {"tags": ["baseline"]}})

    Accelerator(log_with=ExptrackTracker("mnist"))              # or by hand, in any version

Tensors are taken where they stand: one on an accelerator is not waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate import tracking

from exptrack_agent.integrations.items import OwnedRun
from exptrack_agent.media import Image, Table
from exptrack_agent.run import Run


class ExptrackTracker(tracking.GeneralTracker):  # type: ignore[misc]  # accelerate is untyped here
    """Records what `accelerator.log` gets, on the main process.

    Args:
        project: what the run belongs to.
        run: a run that is under way, instead of one that the tracker begins (and ends).
        options: as for `exptrack_agent.init`.
    """

    name = "exptrack"
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self, project: str = "accelerate", *, run: Run | None = None, **options: Any
    ) -> None:
        super().__init__()
        self._owned = OwnedRun(project, run, options)
        self._next_step = 0

    def start(self) -> None:
        """Begin the run; Accelerate calls this once its processes know each other."""
        self._owned.open()

    @property
    def tracker(self) -> Run:
        """The `Run`."""
        return self._owned.open()

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Record the configuration."""
        self.tracker.config.update(values)

    def log(self, values: Mapping[str, Any], step: int | None = None, **_others: Any) -> None:
        """Record values; without a step one more than in the last call."""
        at = self._next_step if step is None else int(step)
        self._next_step = at + 1
        self.tracker.log(values, at)

    def log_images(
        self, values: Mapping[str, Any], step: int | None = None, **_others: Any
    ) -> None:
        """Record images: by name a list of them, or a batch (the first dimension)."""
        at = max(0, self._next_step - 1) if step is None else int(step)
        for name, images in values.items():
            named = {f"{name}/{number}": Image(image) for number, image in enumerate(images)}
            self.tracker.log(named, at)

    def log_table(
        self,
        table_name: str,
        columns: list[str] | None = None,
        data: Any = None,
        dataframe: Any = None,
        step: int | None = None,
        **_others: Any,
    ) -> None:
        """Record a table."""
        at = max(0, self._next_step - 1) if step is None else int(step)
        self.tracker.log({table_name: Table(data if dataframe is None else dataframe, columns)}, at)

    def finish(self) -> None:
        """End the run, unless it was handed in."""
        self._owned.finish()


if hasattr(tracking, "register_tracker_class"):
    known = tracking.LOGGER_TYPE_TO_CLASS.get(ExptrackTracker.name)
    if known is None:
        tracking.register_tracker_class(ExptrackTracker)
