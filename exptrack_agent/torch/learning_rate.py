"""Learning rates by parameter group, as the optimizer's step used them."""

from __future__ import annotations

from typing import Any


def learning_rates(optimizer: Any) -> dict[str, Any]:
    """`lr` of the only group, or `lr/GROUP` of each: its `name`, else its number.

    A rate that is a tensor on an accelerator stays one.
    """
    groups = optimizer.param_groups
    if len(groups) == 1:
        return {"lr": _number(groups[0]["lr"])}
    return {
        f"lr/{group.get('name', number)}": _number(group["lr"])
        for number, group in enumerate(groups)
    }


def _number(rate: Any) -> Any:
    if hasattr(rate, "detach") and rate.device.type == "cpu":
        return float(rate)
    return rate.detach().clone() if hasattr(rate, "detach") else rate
