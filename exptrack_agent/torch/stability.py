"""`StabilityMonitor`: NaN and Inf in loss, gradients, activations and weights, and where they began.

    monitor = StabilityMonitor(run, model, optimizer, policy="stop")
    for step, batch in enumerate(loader):
        loss = …; monitor.loss(loss)
        loss.backward()
        monitor.clip_gradients(1.0)      # optional: clips, counts and checks in one pass
        optimizer.step()                 # gradients are checked before, if they were not by clipping
        monitor.step()                   # the step boundary: records, and stops where the policy says so
    run.summary.update(monitor.summary())

On a device everything is recorded when it has landed, some steps later, and "stop" stops then; on
the CPU it stops before the optimizer's step that would spoil the weights.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any, NamedTuple

import torch

from exptrack_agent.device import known_device_values
from exptrack_agent.errors import Misuse
from exptrack_agent.torch.activations import Activations
from exptrack_agent.torch.compiling import left_out_of_compile
from exptrack_agent.torch.gradients import clip_and_measure, counts_row
from exptrack_agent.torch.incidents import (
    Callback,
    Incident,
    Incidents,
    NumericalInstability,
    Place,
)
from exptrack_agent.torch.loss_scale import LossScale
from exptrack_agent.torch.measuring import Measured, Named, gradients_of, measure
from exptrack_agent.torch.precision import precision_row
from exptrack_agent.torch.sending import is_on_device, kept_from_training, put_later, put_row
from exptrack_agent.torch.statistics import DeviceNorms, nonfinite_of_flagged, norms_of
from exptrack_agent.torch.watch import loss_scale_of, weights_of
from exptrack_agent.values import flat_names

__all__ = ["Incident", "NumericalInstability", "StabilityMonitor"]


class _Every(NamedTuple):
    """Every how many steps a thing is looked at; 0: never."""

    gradients: int
    activations: int
    weights: int
    precision: int


class _Clipping:
    """How often clipping did something, and how much."""

    def __init__(self) -> None:
        self.calls = 0
        self.applied = 0
        self.factor_sum = 0.0
        self.smallest = 1.0
        self.limit: float | None = None

    def note(self, total: float, limit: float) -> None:
        self.calls += 1
        self.limit = limit
        if total <= limit or not math.isfinite(total):
            return
        factor = limit / total
        self.applied += 1
        self.factor_sum += factor
        self.smallest = min(self.smallest, factor)

    def report(self) -> dict[str, Any]:
        mean = self.factor_sum / self.applied if self.applied else None
        return {
            "calls": self.calls,
            "applied": self.applied,
            "share": self.applied / self.calls if self.calls else None,
            "mean_factor": mean,
            "smallest_factor": self.smallest if self.applied else None,
            "threshold": self.limit,
        }


class StabilityMonitor:
    """Watches numbers for NaN and Inf. Adds no wait for a device.

    Args:
        run: from `exptrack_agent.init`.
        model: the module; needed for gradients, activations and weights.
        optimizer: with it, gradients are checked before each of its steps.
        scaler: a `torch.amp.GradScaler`, whose scale and skipped steps are recorded. Gradients that
            are not finite are its business then: counted, and no incident.
        policy: "record"; "warn" (the first of each kind: a warning, and an alert in the run); "stop"
            (raise `NumericalInstability` at the next step boundary); "callback".
        callback: called with each `Incident`, for policy "callback".
        gradients, activations, weights, precision: every how many steps each is looked at; 0: never.
            `precision` records which share of gradients fp16 and bf16 could not hold (CPU only).
    """

    def __init__(  # noqa: PLR0913  # the public contract
        self,
        run: Any,
        model: Any = None,
        optimizer: Any = None,
        *,
        scaler: Any = None,
        policy: str = "warn",
        callback: Callback | None = None,
        gradients: int = 1,
        activations: int = 0,
        weights: int = 0,
        precision: int = 0,
    ) -> None:
        if model is None and (activations or weights or precision or optimizer is not None):
            raise Misuse(
                "to look at gradients, activations or weights, StabilityMonitor needs a model"
            )
        self.steps = 0
        """Step boundaries so far; also the step that is recorded, unless `step()` is told another."""
        self.incidents = Incidents(run, policy, callback)
        self._run = run
        self._model = model
        self._every = _Every(gradients, activations, weights, precision)
        self._clipping = _Clipping()
        self._scale = LossScale(run, scaler) if scaler is not None else None
        self._activations = Activations(model) if activations else None
        self._is_checked = False
        self._hooks = []
        if optimizer is not None:
            self._hooks = [
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(self._after_step),
            ]

    # --- public ---------------------------------------------------------------------------------

    @left_out_of_compile
    def loss(self, value: Any, name: str = "loss") -> None:
        """Look at a loss: a number or tensor."""
        with kept_from_training("the loss check"), torch.no_grad():
            step = self.steps
            if is_on_device(value):
                tensor = value.detach()
                put_later(
                    self._run, [tensor], lambda n: self._note_loss(n[0], name, step), what="loss"
                )
            else:
                self._note_loss(float(value), name, step)

    @left_out_of_compile
    def clip_gradients(self, max_norm: float) -> Any:
        """Clip, record and check gradients in one pass; returns the total norm as a tensor."""
        total, measured = clip_and_measure(
            self._run, self._model, max_norm, self.steps, norms=True, nan_inf=True
        )
        if measured is not None:
            self._is_checked = True
            with kept_from_training("the gradient check"):
                self._note_gradients(measured)
                self._note_clipping(total, max_norm)
        return total

    @left_out_of_compile
    def step(self, step: int | None = None) -> None:
        """The step boundary: after `optimizer.step()` (or `scaler.step(optimizer)`).

        Args:
            step: what is recorded from now on counts on from here; None: one more than the last.

        Raises:
            NumericalInstability: NaN or Inf was found and the policy is "stop".
        """
        with kept_from_training("the stability check"), torch.no_grad():
            self._look_at_activations()
            if self._is_due(self._every.weights):
                self._look_at_weights()
            if self._scale is not None:
                self._scale.end_of_step(self.steps)
            values = known_device_values(self._run)
            if values is not None:
                values.poll()
        self.steps = self.steps + 1 if step is None else step + 1
        self._is_checked = False
        if self._activations is not None:
            self._activations.on = self._is_due(self._every.activations)
        self.incidents.raise_pending()

    def report(self) -> dict[str, Any]:
        """What was seen, as plain values: counts, where it began, clipping, loss scale."""
        first = self.incidents.first
        return {
            "steps": self.steps,
            "unstable_steps": len(self.incidents.steps),
            "nan": self.incidents.nan,
            "inf": self.incidents.inf,
            "first": first._asdict() if first is not None else None,
            "clipping": self._clipping.report() if self._clipping.calls else None,
            "amp": self._scale.report() if self._scale is not None else None,
        }

    def summary(self) -> dict[str, Any]:
        """The report for `run.summary.update`: one level of names, what is empty left out."""
        first = self.incidents.first
        report = self.report() | {"first": str(first) if first is not None else None}
        flat = flat_names(report, "numerical_stability/")
        return {name: value for name, value in flat.items() if value is not None}

    def close(self) -> None:
        """Take the hooks away and put the report into the run's summary."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if self._activations is not None:
            self._activations.close()
        with kept_from_training("the stability report"):
            self._run.summary.update(self.summary())

    def __enter__(self) -> StabilityMonitor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- the hooks ------------------------------------------------------------------------------

    @left_out_of_compile
    def _before_step(self, optimizer: Any, _arguments: Any, _keywords: Any) -> None:
        with kept_from_training("the gradient check"), torch.no_grad():
            if not self._is_checked and self._is_due(self._every.gradients):
                measured = measure(gradients_of(self._model), scale=loss_scale_of(optimizer))
                self._record_counts(measured)
                self._note_gradients(measured)
            if self._is_due(self._every.precision):
                self._record_precision()
        self.incidents.raise_pending()

    @left_out_of_compile
    def _after_step(self, optimizer: Any, _arguments: Any, _keywords: Any) -> None:
        if self._scale is not None:
            with kept_from_training("the loss scale"), torch.no_grad():
                self._scale.step_done(optimizer)

    # --- what was found -------------------------------------------------------------------------

    def _is_due(self, every: int) -> bool:
        return bool(every) and self.steps % every == 0

    def _note(self, place: Place, name: str, nan: int, inf: int, step: int) -> None:
        self.incidents.add(Incident(step, place, name, nan, inf))

    def _note_loss(self, value: float, name: str, step: int) -> None:
        if not math.isfinite(value):
            is_nan = math.isnan(value)
            self._note("loss", name, int(is_nan), int(not is_nan), step)

    def _note_gradients(self, measured: Measured) -> None:
        if self._scale is not None:
            return  # a scaler looks for its scale by infinite gradients, and skips their steps
        if measured.flagged:
            counts = measured.counts
            self._note("gradient", measured.first or "", counts.nan, counts.inf, self.steps)
        for part in measured.norms.devices:
            names = [measured.named.names[place] for place in part.places]
            self._note_later("gradient", names, part.vector)

    def _note_later(self, place: Place, names: list[str], vector: Any) -> None:
        """Norms on a device: which were not finite is known when they have landed."""
        step = self.steps

        def landed(norms: list[float]) -> None:
            bad = [number for number, norm in enumerate(norms) if not math.isfinite(norm)]
            if bad:
                nan = sum(math.isnan(norms[number]) for number in bad)
                self._note(place, names[bad[0]], nan, len(bad) - nan, step)

        put_later(self._run, [vector], landed, what=f"{place} norms")

    def _note_clipping(self, total: Any, limit: float) -> None:
        if is_on_device(total):
            put_later(
                self._run, [total], lambda n: self._clipping.note(n[0], limit), what="clipping"
            )
        else:
            self._clipping.note(float(total), limit)

    def _record_counts(self, measured: Measured) -> None:
        if not measured.norms.devices:
            put_row(self._run, counts_row(measured.counts), self.steps)

    def _record_precision(self) -> None:
        named = gradients_of(self._model)
        here = [tensor for tensor in named.tensors if not is_on_device(tensor)]
        if here:
            put_row(self._run, precision_row(here), self.steps)

    def _look_at_activations(self) -> None:
        if self._activations is None:
            return
        found, later = self._activations.take()
        if found:
            name = found[0][0]
            nan, inf = sum(f[1] for f in found), sum(f[2] for f in found)
            self._note("activation", name, nan, inf, self.steps)
        by_device: dict[str, list[tuple[str, Any]]] = {}
        for name, norm in later:
            by_device.setdefault(str(norm.device), []).append((name, norm))
        for part in by_device.values():
            self._note_later("activation", [n for n, _ in part], torch.cat([v for _, v in part]))

    def _look_at_weights(self) -> None:
        named: Named = weights_of(self._model)
        norms = norms_of(named.tensors)
        flagged = nonfinite_of_flagged(named.tensors, norms.host)
        if flagged:
            nan, inf = (sum(counts) for counts in zip(*flagged.values(), strict=True))
            self._note("weight", named.names[min(flagged)], nan, inf, self.steps)
        parts: list[DeviceNorms] = norms.devices
        for part in parts:
            self._note_later("weight", [named.names[p] for p in part.places], part.vector)
