"""Where each tracker's virtual environment is, and what is installed there."""

from __future__ import annotations

import sys
from pathlib import Path

OURS = ("exptrack", "SummaryWriter", "wandb")
"""These are in the project's own environment."""
PACKAGES: dict[str, tuple[str, ...]] = {
    "trackio": ("trackio==0.43.0",),
    "mlflow": (
        "mlflow-skinny==3.17.2",
        "sqlalchemy",
        "alembic",
    ),
    "neptune-scale": ("neptune-scale==0.30.0",),
    "swanlab": ("swanlab==0.10.3",),
    "aim": ("aim==3.29.1",),
    "kohakuboard": ("kohakuboard==0.0.1",),
    "goodseed": ("goodseed==0.4.0",),
    "trailer": ("trailer-sdk==0.1.22",),
    "expman": ("expman-rs==1.3.0",),
}
_FOLDER = Path(__file__).parent / "environments"


def environment_of(name: str) -> Path:
    """The folder of a tracker's environment, made or not."""
    return _FOLDER / name


def python_of(name: str) -> Path | None:
    """The Python that has this tracker; None when there is none."""
    if name in OURS:
        return Path(sys.executable)
    python = environment_of(name) / "bin" / "python"
    return python if python.exists() else None
