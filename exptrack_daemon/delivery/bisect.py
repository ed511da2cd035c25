"""Halving a batch that a sink refused, until the poison is alone. Pure."""

from __future__ import annotations

from dataclasses import replace

from exptrack_daemon.sinks.base import Batch, Entry, Rows


def halves(batch: Batch) -> tuple[Batch, Batch] | None:
    """The batch in two, rows of one entry included; None when it holds a single row or event."""
    entries = batch.entries
    if len(entries) > 1:
        middle = len(entries) // 2
        return replace(batch, entries=entries[:middle]), replace(batch, entries=entries[middle:])
    first = entries[0]
    if isinstance(first, Rows) and len(first.rows) > 1:
        middle = len(first.rows) // 2
        parts: tuple[Entry, Entry] = (
            replace(first, rows=first.rows[:middle]),
            replace(
                first,
                first=first.first + middle,
                ordinal=first.ordinal + middle,
                rows=first.rows[middle:],
            ),
        )
        return replace(batch, entries=parts[:1]), replace(batch, entries=parts[1:])
    return None
