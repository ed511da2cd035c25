"""What stands in the rings and spools of a home."""

from __future__ import annotations

from pathlib import Path

from exptrack_agent.settings import ring_root
from tests.unit.agent.boxes import stored


def kept(home: Path, kind: type) -> list[object]:
    """Items of a kind that stand in rings and spools of a home."""
    roots = (ring_root(home), home / "spool", home / "rings")
    folders = [folder for root in roots if root.is_dir() for folder in root.iterdir()]
    return [item.item for item in stored(*folders) if isinstance(item.item, kind)]
