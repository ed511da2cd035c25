"""Options that need no conversion get none: typer's loads pydantic, for longer than most commands run.

A typer that converts in another way is left alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

_PLAIN = (str, bool, int, float, Path, list[str])


class SparingCommand(TyperCommand):
    """A command whose texts, paths, flags and defaults are handed on as they are."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _spare(super().get_params(ctx))


class SparingGroup(TyperGroup):
    """A group of commands whose own options are handed on as they are."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _spare(super().get_params(ctx))


def _spare(params: Sequence[Any]) -> list[Any]:
    for param in params:
        kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
        convert = getattr(param, "get_runtime_param", None)
        if kind in _PLAIN and convert and not isinstance(convert, functools.partial):
            param.get_runtime_param = functools.partial(_Spared, convert, kind)
    return list(params)


class _Spared:
    """Stands before typer's conversion, which is asked for what is to become something else."""

    def __init__(self, convert: Callable[[], Any], kind: Any) -> None:
        self._convert, self._kind = convert, kind

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        kind = self._kind
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if type(value) is kind:
            return value
        if kind is Path and type(value) is str:
            return Path(value)
        if kind == list[str] and isinstance(value, tuple):
            return list(value)
        return self._convert().coerce(value, param=param, ctx=ctx)
