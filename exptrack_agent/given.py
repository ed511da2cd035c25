"""What callers give to `log()` where it is no row yet: steps and names of other kinds, too much at once."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import msgpack

from exptrack_agent.values import ITEM_KINDS, flat_names, is_on_accelerator, plain_value, shown
from exptrack_proto.limits import MAX_METRICS_PER_ROW, MAX_NAME_CHARS, MAX_ROW_BYTES


def split_row(row: bytes) -> Iterator[bytes]:
    """Rows of the same step and time that hold a large row's values; one value may still be too large."""
    step, time, values = msgpack.unpackb(row)
    yield from rows_of(flat_names(values), step, time)


def rows_of(values: Mapping[str, Any], step: int, time: int) -> Iterator[bytes]:
    """These values packed, as so many rows of one step and time as their number and size ask for."""
    row: bytes = msgpack.packb((step, time, values))
    if len(values) < 2 or (len(row) <= MAX_ROW_BYTES and len(values) <= MAX_METRICS_PER_ROW):
        yield row
        return
    names = list(values)
    for part in (names[: len(names) // 2], names[len(names) // 2 :]):
        yield from rows_of({name: values[name] for name in part}, step, time)


def made_plain(data: Mapping[str, Any], odd: tuple[str, ...]) -> dict[str, Any]:
    """A copy of the row in which the values that msgpack does not know are numbers.

    Raises:
        Exception: one of them is none.
    """
    plain = dict(data)
    for name in odd:
        value = plain[name]
        plain[name] = value.item() if type(value) in ITEM_KINDS else plain_value(value)
    return plain


def whole_number(step: object) -> int | None:
    """The step as an int; None when it is none, or waits on an accelerator."""
    if isinstance(step, float):
        return int(step) if step.is_integer() else None
    if is_on_accelerator(step):
        return None
    try:
        return operator.index(step)  # type: ignore[arg-type]  # asks the object itself
    except TypeError:
        number = step.item() if hasattr(step, "item") else None
        return int(number) if isinstance(number, float) and number.is_integer() else None


def name_fault(name: object) -> str:
    """What is wrong with a metric's name, for the user; "" when it is one."""
    if not isinstance(name, str):
        return f"a metric's name is a text, not {shown(name)}; its value was left out"
    if len(name) > MAX_NAME_CHARS:
        return (
            f"a metric's name has {len(name)} characters, more than {MAX_NAME_CHARS}:"
            f" {name[:40]!r}…; its value was left out"
        )
    return ""
