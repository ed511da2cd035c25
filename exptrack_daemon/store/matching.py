"""What a condition says about one value: numbers, texts, times, lengths of time, lists. Pure.

- A value that is missing fits nothing but `=none` and what is said with `!=`, which is exactly "not `=`".
- Texts are compared as they are; `~` (contains) does not look at upper and lower case.
- NaN is smaller or larger than nothing, and `=nan` finds it.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

Test: TypeAlias = Callable[[Any], bool]

OPERATORS = ("<=", ">=", "!=", "==", "!~", "=", "<", ">", "~")
"""Longest first."""
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPPOSITES = {"!=": "=", "!~": "~"}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|d|w)")
_UNIT_S = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_NONE = frozenset(("none", "null"))
_BOOLS = {"true": True, "false": False}


class Meant(NamedTuple):
    """What a condition compares with: the text, and what else it may be read as."""

    text: str
    number: float | None
    is_none: bool
    boolean: bool | None


def value_test(sign: str, text: str, *, is_quoted: bool = False) -> Test:
    """The test that `value SIGN text` stands for; `sign` is one of `OPERATORS`."""
    if sign in _OPPOSITES:
        return _opposite(value_test(_OPPOSITES[sign], text, is_quoted=is_quoted))
    if sign == "~":
        return _contains(text)
    meant = _meant(text, is_quoted=is_quoted)
    if sign in _ORDERS:
        return _ordered(_ORDERS[sign], meant)
    return lambda given: _is_equal(given, meant)


def list_test(sign: str, text: str) -> Test:
    """As `value_test`, for a list of texts: `=` means that one of them is it."""
    if sign in _OPPOSITES:
        return _opposite(list_test(_OPPOSITES[sign], text))
    if sign == "~":
        part = text.casefold()
        return lambda given: any(part in item.casefold() for item in given)
    if sign in _ORDERS:
        raise ValueError("tags are not larger or smaller; use = or ~")
    return lambda given: text in given


def length_test(sign: str, text: str) -> Test:
    """As `value_test`, for seconds: `2d`, `30min`, `1.5h`, `90`.

    Raises:
        ValueError: the text is no length of time.
    """
    if sign not in _ORDERS:
        raise ValueError("ask for lengths of time with <, <=, > or >=")
    length_s, order = length_of(text), _ORDERS[sign]
    return lambda given: given is not None and order(given, length_s)


def length_of(text: str) -> float:
    """Seconds.

    Raises:
        ValueError: the text is no length of time.
    """
    found = _LENGTH.fullmatch(text.lower())
    if found is not None:
        return float(found[1]) * _UNIT_S[found[2]]
    try:
        length_s = float(text)
    except ValueError:
        length_s = math.nan
    if not math.isfinite(length_s):
        raise ValueError(f"{text!r} is no length of time; write 90s, 30min, 12h, 7d or 2w")
    return length_s


def moment_test(sign: str, text: str) -> Test:
    """As `value_test`, for Unix nanoseconds: `2026-11-24`, `2026-11-24T08:30`, in local time.

    Raises:
        ValueError: the text is no date.
    """
    if sign not in (*_ORDERS, "=", "=="):
        raise ValueError("ask for times with =, <, <=, > or >=")
    first_ns, end_ns = _moment(text)
    if sign in ("=", "=="):
        return lambda given: given is not None and first_ns <= given < end_ns
    # `<=` and `>` count from the end of the day (or minute, or second) that was named
    border, order = (end_ns - 1 if sign in ("<=", ">") else first_ns), _ORDERS[sign]
    return lambda given: given is not None and order(given, border)


def _moment(text: str) -> tuple[int, int]:
    """The first nanosecond of what the text names, and the first one after it."""
    try:
        begin = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no date; write 2026-11-24 or 2026-11-24T08:30 (or say age<2d)"
        ) from None
    if begin.tzinfo is None:
        begin = begin.astimezone()
    named = timedelta(days=1) if len(text) <= 10 else timedelta(seconds=1)
    if len(text) == 16:
        named = timedelta(minutes=1)
    return _ns(begin), _ns(begin + named)


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1_000


def _meant(text: str, *, is_quoted: bool) -> Meant:
    try:
        number = float(text)
    except ValueError:
        number = None
    word = "" if is_quoted else text.lower()
    return Meant(text, number, word in _NONE, _BOOLS.get(word))


def _opposite(test: Test) -> Test:
    return lambda given: not test(given)


def _contains(text: str) -> Test:
    part = text.casefold()
    return lambda given: given is not None and part in text_of(given).casefold()


def _ordered(order: Callable[[Any, Any], bool], meant: Meant) -> Test:
    number, text = meant.number, meant.text

    def test(given: Any) -> bool:
        kind = type(given)
        if kind is float or kind is int:
            return number is not None and order(given, number)
        return kind is str and number is None and order(given, text)

    return test


def _is_equal(given: Any, meant: Meant) -> bool:
    if given is None:
        return meant.is_none
    if isinstance(given, bool):
        return given is meant.boolean
    if isinstance(given, int | float):
        number = meant.number
        return number is not None and (
            given == number or (math.isnan(number) and math.isnan(given))
        )
    return text_of(given) == meant.text


def text_of(given: Any) -> str:
    """A value as the text that is compared: lists and mappings as JSON."""
    if isinstance(given, str):
        return given
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, list | dict):
        return json.dumps(given, ensure_ascii=False)
    return str(given)
