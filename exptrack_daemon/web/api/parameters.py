"""What a request asks for, checked. Pure. Every `Wrong` says which parameter, and what it may be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from exptrack_daemon.web.api.answers import Wrong
from exptrack_proto.frame import RUN_ID

MOST_RUNS = 100
MOST_NAMES = 100
_MOST_X = 1 << 62


def run_id(text: str) -> str:
    """A run's id, and nothing else: it becomes a path.

    Raises:
        Wrong: it is none (404, as for one that there is not).
    """
    if not RUN_ID.fullmatch(text):
        raise Wrong("there is no such run; `runs` lists all", 404)
    return text


def run_ids(texts: Sequence[str], name: str = "runs") -> list[str]:
    """Ids without repeats, in their order."""
    if not texts:
        raise Wrong(f"{name} is missing: give at least one run's id")
    if len(texts) > MOST_RUNS:
        raise Wrong(f"{name} names {len(texts)} runs; at most {MOST_RUNS} go into one request")
    return [run_id(text) for text in dict.fromkeys(texts)]


def listed(text: str) -> list[str]:
    """`a,b` as a list; empty for nothing."""
    return [part for part in text.split(",") if part]


def whole(
    values: Mapping[str, Any], name: str, default: int, *, least: int = 0, most: int = _MOST_X
) -> int:
    """A whole number between the bounds."""
    given = values.get(name)
    if given is None or given == "":
        return default
    try:
        number = int(given) if not isinstance(given, bool | float) else None
    except (TypeError, ValueError):
        number = None
    if number is None or not least <= number <= most:
        raise Wrong(f"{name} is a whole number from {least} to {most}")
    return number


def edge(values: Mapping[str, Any], name: str, *, unit: int, up: bool) -> int | None:
    """An end of a window, in whole units (1 ms: 1,000,000 ns), rounded outwards; None where it is open."""
    given = values.get(name)
    if given is None or given == "":
        return None
    try:
        number = float(given) if not isinstance(given, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or abs(number) * unit > _MOST_X:
        raise Wrong(f"{name} is a number within 2**62, or null for no bound")
    return math.ceil(number * unit) if up else math.floor(number * unit)


def one_of(values: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    """One of the words; the first when it is left out."""
    given = values.get(name, choices[0])
    if given not in choices:
        raise Wrong(f"{name} is one of {', '.join(choices)}")
    return str(given)


def text_of(values: Mapping[str, Any], name: str) -> str | None:
    """A text; None when it is left out."""
    given = values.get(name)
    if given is not None and not isinstance(given, str):
        raise Wrong(f"{name} is a text")
    return given


def flag(values: Mapping[str, Any], name: str) -> bool | None:
    """Yes or no; None when it is left out."""
    given = values.get(name)
    if given is not None and not isinstance(given, bool):
        raise Wrong(f"{name} is true or false")
    return given


def texts(values: Mapping[str, Any], name: str, *, most: int) -> list[str] | None:
    """A list of texts without repeats; None when it is left out."""
    given = values.get(name)
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise Wrong(f"{name} is a list of texts")
    if len(given) > most:
        raise Wrong(f"{name} has {len(given)} entries; at most {most} go into one request")
    return list(dict.fromkeys(given))


def document(body: bytes, known: Sequence[str]) -> dict[str, Any]:
    """The request's JSON object, with known keys only."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Wrong("the body is no JSON; send an object, as docs/http-api.md tells") from None
    if not isinstance(found, dict):
        raise Wrong("the body is a JSON object, as docs/http-api.md tells")
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise Wrong(f"{unknown[0][:60]!r} is unknown here; known are {', '.join(known)}")
    return found
