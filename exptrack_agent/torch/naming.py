"""Names of parameters as the user wrote them, whatever was wrapped around the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import torch

_WRAPPERS = (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)
_INNER_PREFIXES = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


def unwrapped(model: Any) -> Any:
    """The user's model inside DDP, DataParallel and `torch.compile`."""
    while True:
        if isinstance(model, _WRAPPERS):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), torch.nn.Module):
            model = model._orig_mod  # noqa: SLF001  # the only way in
        else:
            return model


@lru_cache(maxsize=65_536)
def plain_name(name: str) -> str:
    """A name without what compile, FSDP and checkpointing put in between."""
    for prefix in _INNER_PREFIXES:
        name = name.replace(prefix, "")
    return name


@lru_cache(maxsize=262_144)
def metric_name(family: str, name: str) -> str:
    """The metric of one parameter: `gradients/norm/layers.0.weight`."""
    return f"{family}/{plain_name(name)}"[:1_024]


def named_parameters(source: Any) -> Iterator[tuple[str, Any]]:
    """Names and parameters of a module, of `(name, parameter)` pairs, or of parameters, then numbered."""
    if isinstance(source, torch.nn.Module):
        yield from unwrapped(source).named_parameters()
        return
    if isinstance(source, torch.Tensor):
        source = [source]
    parameters: Iterable[Any] = source
    for number, entry in enumerate(parameters):
        yield entry if isinstance(entry, tuple) else (str(number), entry)
