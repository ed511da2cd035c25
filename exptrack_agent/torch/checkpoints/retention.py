"""Which checkpoints stay: the last few, the best few, every so many steps, and pinned ones. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.checkpoints.files import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept. With neither `keep_last`, `keep_best` nor `keep_every`: everything.

    Attributes:
        keep_last: so many of the newest.
        keep_best: so many of the best by `metric`.
        metric: a name in `metrics`, or `loss`.
        mode: whether the least or the greatest is best.
        keep_every: those whose step it divides.
    """

    keep_last: int | None = None
    keep_best: int | None = None
    metric: str | None = None
    mode: Literal["min", "max"] = "min"
    keep_every: int | None = None

    def __post_init__(self) -> None:
        for name in ("keep_last", "keep_best", "keep_every"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise Misuse(f"{name} is a whole number of at least 1, or None, not {value!r:.40}")
        if self.mode not in ("min", "max"):
            raise Misuse(f'mode is "min" or "max", not {self.mode!r:.40}')
        if (self.keep_best is None) != (self.metric is None):
            raise Misuse("keep_best and metric belong together")

    @property
    def lets_go(self) -> bool:
        """Whether anything may ever be removed."""
        limits = (self.keep_last, self.keep_best, self.keep_every)
        return any(limit is not None for limit in limits)

    def dispensable(
        self, found: Sequence[Checkpoint], just_written: Checkpoint
    ) -> list[Checkpoint]:
        """Which of a folder's checkpoints, the newest first, may go now that another one is safe."""
        if not self.lets_go:
            return []
        kept = {just_written.path}
        kept.update(one.path for one in found[: self.keep_last or 0])
        kept.update(one.path for one in self._best(found))
        every = self.keep_every
        kept.update(one.path for one in found if every is not None and one.step % every == 0)
        return [one for one in found if one.path not in kept and not one.is_pinned]

    def _best(self, found: Sequence[Checkpoint]) -> list[Checkpoint]:
        if self.keep_best is None or self.metric is None:
            return []
        sign = 1 if self.mode == "min" else -1
        measured = [one for one in found if _is_number(one.metrics.get(self.metric))]
        return sorted(measured, key=lambda one: sign * one.metrics[str(self.metric)])[
            : self.keep_best
        ]

    def as_order(self) -> dict[str, Any]:
        """As the writer is told it."""
        return asdict(self)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not math.isnan(value)
