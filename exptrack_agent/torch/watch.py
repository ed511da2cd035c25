"""`watch`: gradients, weights and updates recorded by one hook before a step and one after it.

The hooks are the optimizer's, not the parameters': there gradients are reduced over ranks,
accumulated and unscaled, and one pass serves all of them. Under a GradScaler a step that it skips
is not an optimizer step (with a fused optimizer it is one, and its gradients still bear the scale,
which is taken out).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.compiling import left_out_of_compile
from exptrack_agent.torch.gradients import put_squares, send, was_clipped
from exptrack_agent.torch.histograms import log_histograms
from exptrack_agent.torch.learning_rate import learning_rates
from exptrack_agent.torch.measuring import Named, gradients_of, measure
from exptrack_agent.torch.naming import metric_name, named_parameters
from exptrack_agent.torch.sending import (
    is_on_device,
    kept_from_training,
    put_later,
    put_row,
    put_row_later,
)
from exptrack_agent.torch.shards import are_spread
from exptrack_agent.torch.statistics import norms_of, plain


class Intervals(NamedTuple):
    """Every how many optimizer steps something is recorded; 0: never."""

    gradients: int = 1
    histograms: int = 0
    weights: int = 0
    updates: int = 0

    def is_due(self, what: str, step: int) -> bool:
        """Whether `what` is recorded at a step."""
        every = getattr(self, what)
        return bool(every) and step % every == 0


def watch(  # noqa: PLR0913  # the public contract: what to watch and how often
    run: Any,
    model: Any,
    optimizer: Any = None,
    *,
    every: int = 1,
    norms: bool = True,
    nan_inf: bool = True,
    histograms: int = 0,
    weights: int = 0,
    updates: int = 0,
    step: Callable[[], int] | None = None,
) -> Watch:
    """Record gradients (and more) of a model at its optimizer's steps, until the watch is closed.

    Args:
        run: from `exptrack_agent.init`.
        model: a module (DDP and compiled ones too), parameters, or `(name, parameter)` pairs.
        optimizer: the optimizer of the model; None: any that steps one of the model's parameters.
        every: gradients every so many optimizer steps.
        norms: `gradients/norm`, and of each parameter.
        nan_inf: exact counts of NaN and Inf.
        histograms: every so many steps, `gradients/PARAMETER`, and `weights/PARAMETER` with `weights`.
        weights: every so many steps, `weights/norm` and `weights/norm/PARAMETER`.
        updates: every so many steps, `updates/ratio/PARAMETER`: the norm of the update over that of
            the weight. Needs the weights a second time, for the length of that step.
        step: gives the step to record at; None: optimizer steps are counted from 0.

    Raises:
        Misuse: an interval is negative, or `every` is 0.
    """
    if every < 1 or min(histograms, weights, updates) < 0:
        raise Misuse("watch takes every >= 1, and intervals >= 0 (0: never)")
    intervals = Intervals(every, histograms, weights, updates)
    return Watch(run, model, optimizer, intervals, _What(norms, nan_inf, step))


class _What(NamedTuple):
    norms: bool
    nan_inf: bool
    step: Callable[[], int] | None


class Watch:
    """What `watch` returns; `close()`, or leaving it as a context, ends it."""

    def __init__(
        self, run: Any, model: Any, optimizer: Any, intervals: Intervals, what: _What
    ) -> None:
        self.steps = 0
        """Optimizer steps so far."""
        self._run = run
        self._model = model
        self._intervals = intervals
        self._what = what
        self._before: Named | None = None
        self._lock = threading.RLock()
        self._own = None if optimizer is not None else _identities(model)
        if optimizer is not None:
            self._hooks = [
                optimizer.register_step_pre_hook(self._before_step),
                optimizer.register_step_post_hook(self._after_step),
            ]
        else:
            self._hooks = [
                register_optimizer_step_pre_hook(self._before_step),
                register_optimizer_step_post_hook(self._after_step),
            ]

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __enter__(self) -> Watch:
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
        with self._lock, kept_from_training("watch"), torch.no_grad():
            if not self._is_mine(optimizer):
                return
            step = self._step()
            due = self._intervals.is_due
            if due("gradients", self.steps) or due("histograms", self.steps):
                self._log_gradients(optimizer, step)
            if due("updates", self.steps):
                self._before = _copies(self._model)

    @left_out_of_compile
    def _after_step(self, optimizer: Any, _arguments: Any, _keywords: Any) -> None:
        with self._lock, kept_from_training("watch"), torch.no_grad():
            if not self._is_mine(optimizer):
                return
            step = self._step()
            try:
                self._log_step(optimizer, step)
            finally:
                self._before = None
                self.steps += 1

    def _log_step(self, optimizer: Any, step: int) -> None:
        put_learning_rates(self._run, optimizer, step)
        if self._intervals.is_due("weights", self.steps):
            log_weights(self._run, self._model, step)
            if self._intervals.is_due("histograms", self.steps):
                named = weights_of(self._model)
                log_histograms(self._run, "weights", named.names, named.tensors, step)
        if self._before is not None:
            log_updates(self._run, self._before, weights_of(self._model), step)

    def _log_gradients(self, optimizer: Any, step: int) -> None:
        named = gradients_of(self._model)
        if not named.tensors:
            return
        # Here gradients are clipped already, and clip_gradients has recorded what they were before.
        is_recorded = was_clipped(self._run, self._model)
        if self._intervals.is_due("gradients", self.steps) and not is_recorded:
            measured = measure(named, scale=loss_scale_of(optimizer))
            what = self._what
            send(self._run, measured, step, norms=what.norms, nan_inf=what.nan_inf)
        if self._intervals.is_due("histograms", self.steps):
            log_histograms(self._run, "gradients", named.names, named.tensors, step)

    def _step(self) -> int:
        return self.steps if self._what.step is None else self._what.step()

    def _is_mine(self, optimizer: Any) -> bool:
        if self._own is None:
            return True
        groups = optimizer.param_groups
        return any(id(parameter) in self._own for group in groups for parameter in group["params"])


# --- weights and updates --------------------------------------------------------------------------


def log_weights(run: Any, model: Any, step: int) -> None:
    """Record `weights/norm` and `weights/norm/PARAMETER`; of parts (FSDP) the squares, `weights/square`."""
    named = weights_of(model)
    _put_norms(run, "weights/norm", named, step)


def log_updates(run: Any, before: Named, after: Named, step: int) -> None:
    """Record `updates/ratio/PARAMETER`: how large a step was, measured by the weight it changed."""
    changes = [new - old for new, old in zip(after.tensors, before.tensors, strict=True)]
    updates, weights = norms_of(changes), norms_of(before.tensors)
    if not updates.devices:
        pairs = zip(updates.host, weights.host, strict=True)
        ratios = [update / weight if weight else 0.0 for update, weight in pairs]
        keys = [metric_name("updates/ratio", name) for name in before.names]
        put_row(run, dict(zip(keys, ratios, strict=True)), step)
        return
    for update, weight in zip(updates.devices, weights.devices, strict=True):
        keys = [metric_name("updates/ratio", before.names[place]) for place in update.places]
        ratio = torch.where(weight.vector > 0, update.vector / weight.vector, 0.0)
        _put_vector(run, keys, ratio, step)


def weights_of(model: Any) -> Named:
    """The trainable parameters."""
    pairs = [(name, p) for name, p in named_parameters(model) if p.requires_grad]
    weights = [plain(parameter) for _, parameter in pairs]
    return Named([name for name, _ in pairs], weights, are_spread(pairs, model))


def put_learning_rates(run: Any, optimizer: Any, step: int) -> None:
    """Record the learning rate that each group of the step just done has used."""
    rates = learning_rates(optimizer)
    later = [(name, rate) for name, rate in rates.items() if is_on_device(rate)]
    put_row(run, {name: rate for name, rate in rates.items() if not is_on_device(rate)}, step)
    if later:
        put_row_later(run, later, step)


def loss_scale_of(optimizer: Any) -> Any:
    """What a fused optimizer still has to divide gradients by: a number, or a tensor on the device."""
    scale = getattr(optimizer, "grad_scale", None)
    if scale is None:
        return 1.0
    return scale if is_on_device(scale) else float(scale)


def _put_norms(run: Any, family: str, named: Named, step: int) -> None:
    norms = norms_of(named.tensors)
    if named.is_spread:
        put_squares(run, "weights/square", named.names, norms, step)
        return
    if not norms.devices:
        keys = [metric_name(family, name) for name in named.names]
        put_row(run, {family: norms.total()} | dict(zip(keys, norms.host, strict=True)), step)
        return
    put_later(run, [norms.total()], lambda n: put_row(run, {family: n[0]}, step), what=family)
    for part in norms.devices:
        _put_vector(
            run, [metric_name(family, named.names[p]) for p in part.places], part.vector, step
        )


def _put_vector(run: Any, keys: list[str], vector: Any, step: int) -> None:
    def landed(numbers: list[float]) -> None:
        put_row(run, dict(zip(keys, numbers, strict=True)), step)

    put_later(run, [vector], landed, what=keys[0].rpartition("/")[0])


def _copies(model: Any) -> Named:
    named = weights_of(model)
    return named._replace(tensors=[tensor.clone() for tensor in named.tensors])


def _identities(model: Any) -> frozenset[int]:
    return frozenset(id(parameter) for _, parameter in named_parameters(model))
