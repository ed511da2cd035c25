"""Keeps `torch.compile` from tracing into what only watches: that would break its graphs in many places."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

F = TypeVar("F", bound=Callable[..., Any])


def left_out_of_compile(function: F) -> F:
    """Run a function as plain Python wherever it is called from.

    `torch.compiler.disable` does that, and loads the compiler, which takes seconds: so it is used from the
    moment on that the program itself has loaded it.
    """
    outside: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return function(*arguments, **keywords)
        if not outside:
            outside.append(torch.compiler.disable(function))
        return outside[0](*arguments, **keywords)

    # Code of its own: the compiler keeps what it knows, and how often it looked, by code and not by function.
    code = call.__code__  # type: ignore[attr-defined]  # a function, which mypy does not see
    call.__code__ = code.replace(co_name=f"call_{function.__name__}")  # type: ignore[attr-defined]
    call._torchdynamo_disable = True  # type: ignore[attr-defined]  # noqa: SLF001
    return cast("F", call)
