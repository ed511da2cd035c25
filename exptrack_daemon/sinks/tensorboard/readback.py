"""Reading our own event files, every checksum checked: for `exptrack verify`, the demo and tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event

from exptrack_daemon.sinks.tensorboard.records import RecordDamaged, unframe


def event_files(folder: Path) -> list[Path]:
    """The event files of one writer: those in `folder` itself and in its `late` folders."""
    late = [path for path in folder.glob("late*") if path.is_dir()]
    return sorted(file for place in [folder, *late] for file in place.glob("*tfevents*"))


def read_events(path: Path) -> Iterator[Any]:
    """Every whole Event of a file; a last record that is still being written is left out.

    Raises:
        RecordDamaged: a record does not fit its checksum.
    """
    try:
        for _, data in unframe(path.read_bytes()):
            yield Event.FromString(data)
    except RecordDamaged as error:
        raise RecordDamaged(f"{path}: {error}") from error


def count_points(folder: Path) -> dict[str, int]:
    """How many scalars of each tag stand in a writer's files, late ones included.

    `folder` is a run's own folder (rank 0), or one of its `rank_r` or `system`.

    Raises:
        RecordDamaged: a record does not fit its checksum.
    """
    counts: Counter[str] = Counter()
    for path in event_files(folder):
        for event in read_events(path):
            counts.update(
                value.tag
                for value in event.summary.value
                if value.WhichOneof("value") == "simple_value"
            )
    return dict(counts)
