"""A run that keeps what it is given, for tests of what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack


class RecordingRun:
    """Rows, items, alerts and summary, as given."""

    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, Any]]] = []
        self.items: list[dict[str, Any]] = []
        self.alerts: list[tuple[str, str, str]] = []
        self.summary: dict[str, Any] = {}
        self.landing: Any = None

    def log(self, data: Mapping[str, Any], step: int | None = None) -> None:
        self.rows.append((step, dict(data)))

    def put_item(self, packed: bytes) -> bool:
        self.items.append(msgpack.unpackb(packed))
        return True

    def alert(self, title: str, text: str = "", level: str = "warning") -> None:
        self.alerts.append((title, text, level))

    def values(self, name: str) -> dict[int | None, Any]:
        """What a metric was at each step."""
        return {step: row[name] for step, row in self.rows if name in row}
