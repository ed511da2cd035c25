"""`wandb.util`: what scripts use of it."""

from __future__ import annotations

from exptrack_agent.start import new_run_id


def generate_id(length: int = 8) -> str:
    """A new id of so many characters."""
    text = new_run_id()
    while len(text) < length:
        text += new_run_id()
    return text[:length]
