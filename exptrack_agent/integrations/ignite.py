"""PyTorch-Ignite: a logger whose handlers attach to engines.

    from exptrack_agent.integrations.ignite import ExptrackLogger

    logger = ExptrackLogger("mnist")
    logger.attach_output_handler(trainer, Events.ITERATION_COMPLETED(every=10), "train",
                                 output_transform=lambda loss: {"loss": loss})
    logger.attach_output_handler(evaluator, Events.EPOCH_COMPLETED, "eval", metric_names="all",
                                 global_step_transform=global_step_from_engine(trainer))
    logger.attach_opt_params_handler(trainer, Events.EPOCH_COMPLETED, optimizer)

Values are taken from `engine.state` as they are. Ignite's own helper would read every tensor, and so wait
for the device at each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ignite.handlers.base_logger import BaseLogger

from exptrack_agent.exits import exit_code_of
from exptrack_agent.integrations.items import OwnedRun
from exptrack_agent.run import Run

Handler: TypeAlias = Callable[[Any, Any, Any], None]
"""Called with engine, logger and event."""


class ExptrackLogger(BaseLogger):  # type: ignore[misc]  # ignite is untyped here
    """Records what its handlers find.

    Args:
        project: what the run belongs to.
        run: a run that is under way, instead of one that the logger begins (and ends).
        options: as for `exptrack_agent.init`.
    """

    def __init__(self, project: str = "ignite", *, run: Run | None = None, **options: Any) -> None:
        self._owned = OwnedRun(project, run, options)

    @property
    def run(self) -> Run:
        """The `Run`."""
        return self._owned.open()

    def close(self, exit_code: int = 0) -> None:
        """End the run, unless it was handed in."""
        self._owned.finish(exit_code)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.close(exit_code_of(error))

    def _create_output_handler(self, *arguments: Any, **keywords: Any) -> Handler:
        return output_handler(*arguments, **keywords)

    def _create_opt_params_handler(self, *arguments: Any, **keywords: Any) -> Handler:
        return optimizer_handler(*arguments, **keywords)


def output_handler(  # the arguments of Ignite's own handlers, in their order
    tag: str = "",
    output_transform: Callable[[Any], Any] | None = None,
    metric_names: Sequence[str] | str | None = None,
    global_step_transform: Callable[[Any, Any], int] | None = None,
    state_attributes: Sequence[str] | None = None,
) -> Handler:
    """A handler that records outputs, metrics and attributes of `engine.state` as `TAG/NAME`.

    Raises:
        ValueError: there is nothing to record.
    """
    if output_transform is None and metric_names is None and state_attributes is None:
        raise ValueError("say what to record: output_transform, metric_names or state_attributes")
    prefix = f"{tag}/" if tag else ""

    def handle(engine: Any, logger: ExptrackLogger, event: Any) -> None:
        state = engine.state
        found: dict[str, Any] = {}
        if metric_names is not None:
            names = state.metrics if metric_names == "all" else metric_names
            found |= {name: state.metrics[name] for name in names if name in state.metrics}
        if output_transform is not None:
            output = output_transform(state.output)
            found |= output if isinstance(output, Mapping) else {"output": output}
        for name in state_attributes or ():
            found[name] = getattr(state, name, None)
        logger.run.log(dict(_flat(prefix, found)), _step(engine, event, global_step_transform))

    return handle


def optimizer_handler(optimizer: Any, param_name: str = "lr", tag: str = "") -> Handler:
    """A handler that records a parameter of each of an optimizer's groups."""
    prefix = f"{tag}/" if tag else ""

    def handle(engine: Any, logger: ExptrackLogger, event: Any) -> None:
        groups = optimizer.param_groups
        names = (
            [param_name] if len(groups) == 1 else [f"{param_name}/{n}" for n in range(len(groups))]
        )
        values = {
            prefix + name: group[param_name] for name, group in zip(names, groups, strict=True)
        }
        logger.run.log(values, _step(engine, event, None))

    return handle


def _step(engine: Any, event: Any, transform: Callable[[Any, Any], int] | None) -> int:
    if transform is not None:
        return int(transform(engine, event))
    return int(engine.state.get_event_attrib_value(event))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values; of mappings and sequences each part by itself, of a vector each number."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}/", value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield from _flat(f"{prefix}{name}/", {str(n): part for n, part in enumerate(value)})
        elif getattr(value, "ndim", 0) == 1:
            yield from _flat(f"{prefix}{name}/", {str(n): value[n] for n in range(len(value))})
        else:
            yield f"{prefix}{name}", value
