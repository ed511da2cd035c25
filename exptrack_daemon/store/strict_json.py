"""What strict JSON can say of any value: used wherever runs are shown to machines."""

from __future__ import annotations

import math
from typing import Any

_DEEPEST = 64


def strict(given: Any, depth: int = 0) -> Any:
    """The value with "NaN", "Infinity" and "-Infinity" for what JSON does not know, cut off 64 deep."""
    if isinstance(given, float) and not math.isfinite(given):
        return "NaN" if math.isnan(given) else "Infinity" if given > 0 else "-Infinity"
    if depth == _DEEPEST:
        return "…"
    if isinstance(given, dict):
        return {str(key): strict(item, depth + 1) for key, item in given.items()}
    if isinstance(given, list | tuple):
        return [strict(item, depth + 1) for item in given]
    return given
