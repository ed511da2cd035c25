"""Values that travel as JSON: configs, hyperparameters, summaries. Whatever a program has there goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from exptrack_agent.notices import say_once
from exptrack_agent.values import (
    IsMedia,
    NotScalar,
    clean_text,
    coerce_scalar,
    fit,
    is_on_accelerator,
)
from exptrack_proto.limits import MAX_JSON_BYTES

_MOST_DEPTH = 32
_MOST_VALUES = 100_000
_LONG_BYTES = 4_096
_SHOWN_CHARS = 1_000


def json_text(values: Mapping[str, Any], what: str, most_bytes: int = MAX_JSON_BYTES) -> str:
    """A JSON text of at most so many bytes; what JSON does not know becomes a number or its `str`.

    Raises nothing: a value whose own code raises, a recursive or an enormous one leaves a word in its place.
    """
    plain = _Plain().of_mapping(values, 0)
    text = json.dumps(plain)
    if len(text) <= most_bytes:
        return text
    say_once(
        f"{what} size",
        f"the {what} is larger than {most_bytes:,} bytes of JSON; long values were cut",
    )
    return _cut_to_fit(plain, most_bytes)


def _cut_to_fit(plain: Mapping[str, Any], most_bytes: int) -> str:
    kept: list[str] = []
    room = most_bytes - 2
    for name, value in plain.items():
        entry = json.dumps({name: value})
        if len(entry) > _LONG_BYTES:
            entry = json.dumps({name[:200]: f"(cut) {json.dumps(value)[:200]}"})
        room -= len(entry)
        if room < 0:
            break
        kept.append(entry[1:-1])
    return f"{{{', '.join(kept)}}}"


class _Plain:
    """Makes one value plain: knows what it is inside of, and how much there was so far."""

    def __init__(self) -> None:
        self._inside: set[int] = set()
        self._values = 0

    def of_mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        try:
            items = list(dict(values).items())  # a copy: another thread may be changing it
        except Exception as error:  # noqa: BLE001  # a mapping's own code may raise anything
            return {"": f"(reading it raised {type(error).__name__})"}
        self._inside.add(id(values))
        plain = {_text(key): self.of(value, depth + 1) for key, value in items}
        self._inside.discard(id(values))
        return plain

    def of(self, value: Any, depth: int) -> Any:
        self._values += 1
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**64 else _text(value)  # exact: it may be a seed
        if isinstance(value, str):
            return clean_text(value)
        if id(value) in self._inside:
            return "(itself)"
        if depth > _MOST_DEPTH or self._values > _MOST_VALUES:
            return f"({type(value).__name__})"
        return self._of_object(value, depth)

    def _of_object(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self.of_mapping(value, depth)
        fields = getattr(type(value), "__dataclass_fields__", None)
        if fields is not None:
            return self._of_fields(value, list(fields), depth)
        if not isinstance(value, list | tuple | set | frozenset):
            return _one_number(value)
        self._inside.add(id(value))
        plain = [self.of(item, depth + 1) for item in tuple(value)]
        self._inside.discard(id(value))
        return plain

    def _of_fields(self, value: Any, names: list[str], depth: int) -> dict[str, Any]:
        self._inside.add(id(value))
        plain = {name: self.of(getattr(value, name, None), depth + 1) for name in names}
        self._inside.discard(id(value))
        return plain


def _one_number(value: Any) -> Any:
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    try:
        return fit(coerce_scalar(value))
    except (IsMedia, NotScalar):
        return f"({type(value).__name__})" if is_on_accelerator(value) else _text(value)
    except Exception:  # noqa: BLE001  # a value's own code may raise anything
        return f"({type(value).__name__})"


def _text(value: Any) -> str:
    try:
        return clean_text(str(value))[:_SHOWN_CHARS]
    except Exception:  # noqa: BLE001  # a value's own code may raise anything
        return f"({type(value).__name__})"
