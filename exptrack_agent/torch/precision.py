"""What half precision could not hold of a tensor: what would become Inf, and what zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

FORMATS = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Shares(NamedTuple):
    """Of the finite numbers, the share beyond each end of a format."""

    overflow: float
    underflow: float


def shares_of(tensors: Sequence[Any], dtype: Any) -> Shares:
    """By converting: a finite number that becomes infinite, one other than zero that becomes zero.

    Of tensors that are in `dtype` already nothing is lost any more; their zeros say nothing.
    """
    numbers = over = under = 0
    for tensor in tensors:
        finite = torch.isfinite(tensor)
        half = tensor.to(dtype)
        numbers += int(finite.sum())
        over += int((torch.isinf(half) & finite).sum())
        under += int(((half == 0) & (tensor != 0)).sum())
    return Shares(over / numbers, under / numbers) if numbers else Shares(0.0, 0.0)


def precision_row(tensors: Sequence[Any]) -> dict[str, float]:
    """`numerical_stability/fp16_overflow_share` and its like, of tensors on the CPU."""
    row: dict[str, float] = {}
    for name, dtype in FORMATS.items():
        shares = shares_of(tensors, dtype)
        row[f"numerical_stability/{name}_overflow_share"] = shares.overflow
        row[f"numerical_stability/{name}_underflow_share"] = shares.underflow
    return row
