"""Which runs a retention rule lets go: decided from their age and size. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that may go."""

    id: str
    updated_ns: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is kept; None: no such limit."""

    older_than_s: float | None = None
    """Only runs without news for so long go."""
    larger_than_bytes: int | None = None
    """The oldest go, until all runs together take no more."""
    keep_last: int = 0
    """So many of the newest always stay."""


def size_from(text: str) -> int:
    """Bytes: `500MB`, `5GB` (powers of 1,000), `5GiB` (of 1,024), `12345`.

    Raises:
        ValueError: the text is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size; write 500MB, 5GB or 5GiB")
    return round(float(found[1]) * math.pow(1024 if found[3] else 1000, _POWERS[found[2].upper()]))


def choose_to_go(
    candidates: Sequence[Candidate], total_bytes: int, rule: Rule, now_ns: int
) -> list[Candidate]:
    """The candidates that go, oldest first, of a home whose runs take `total_bytes`."""
    newest = sorted(candidates, key=lambda run: (-run.updated_ns, run.id))
    going: list[Candidate] = []
    for run in reversed(newest[rule.keep_last :]):
        is_young = rule.older_than_s is not None and (
            now_ns - run.updated_ns < rule.older_than_s * 1e9
        )
        if is_young:
            break
        if rule.larger_than_bytes is not None and total_bytes <= rule.larger_than_bytes:
            break
        going.append(run)
        total_bytes -= run.size_bytes
    return going
