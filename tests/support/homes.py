"""Builds home folders with real journals, as the intake would have written them."""

from __future__ import annotations

import json
from pathlib import Path

from exptrack_daemon.files import OsFiles
from exptrack_daemon.home import Home
from exptrack_daemon.journal.writer import Journal, JournalConfig
from exptrack_proto.codec import encode_item, encode_rows
from exptrack_proto.frame import parse
from exptrack_proto.records import Close, Item, Loss, Open, Row

START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


class TurnedClock:
    """Shows the time it was told."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self.time_ns = now_ns
        self.seconds = 0.0

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_s(self) -> float:
        return self.seconds


class StreamBuilder:
    """One writer of a run: counts its sequences by itself."""

    def __init__(self, builder: RunBuilder, stream_id: bytes, rank: int) -> None:
        self.builder = builder
        self.id = stream_id
        self.rank = rank
        self.next = 0

    def put(self, item: Item, *, sequence: int | None = None) -> None:
        """Append one item that is no row; with `sequence`, there."""
        at = self.next if sequence is None else sequence
        self.builder.append(encode_item(self.builder.run_id, self.id, at, item))
        self.next = at + 1

    def rows(self, *rows: Row) -> None:
        """Append rows as one frame."""
        data = encode_rows(self.builder.run_id, self.id, self.next, list(rows))
        self.builder.append(data)
        self.next += len(rows)

    def log(self, values: dict[str, object], step: int = 0, time_ns: int | None = None) -> None:
        time_ns = START_NS + step * SECOND_NS if time_ns is None else time_ns
        self.rows(Row(step, time_ns, values))

    def lose(self, items: int, reason: str = "ring full") -> None:
        """Drop items as the agent does: the entry's sequence follows the lost ones."""
        first, last = self.next, self.next + items - 1
        self.put(Loss(time_ns=START_NS, first=first, last=last, reason=reason), sequence=last + 1)

    def refuse(self, items: int, reason: str = "malformed") -> None:
        """Drop items as the daemon does: the entry stands in place of the last one."""
        first, last = self.next, self.next + items - 1
        self.put(Loss(time_ns=START_NS, first=first, last=last, reason=reason), sequence=last)

    def skip(self, items: int) -> None:
        """Lose items without a word."""
        self.next += items

    def close(self, status: str = "finished", exit_code: int | None = 0) -> None:
        self.put(Close(time_ns=START_NS + 60 * SECOND_NS, status=status, exit_code=exit_code))


class RunBuilder:
    """Writes one run's journal; every append is committed."""

    def __init__(self, home: Home, run_id: str, *, created_ns: int, segment_bytes: int) -> None:
        self.home = home
        self.run_id = run_id
        self.created_ns = created_ns
        self.journal = Journal(
            OsFiles(),
            home.journal(run_id),
            run_id,
            TurnedClock(),
            JournalConfig(segment_bytes=segment_bytes),
        )
        self._streams = 0

    def append(self, data: bytes) -> None:
        self.journal.append(parse(data), data)
        self.journal.commit()

    def stream(self, rank: int = 0, *, role: str = "trainer", **fields: object) -> StreamBuilder:
        """Open a stream; the fields are those of `Open`."""
        self._streams += 1
        stream_id = f"{self.run_id}-{self._streams}".encode()[-16:].rjust(16, b"\0")
        stream = StreamBuilder(self, stream_id, rank)
        fields = {"project": "demo", "name": self.run_id, "host": "node1", "pid": 1} | fields
        if isinstance(fields.get("config"), dict):
            fields["config"] = json.dumps(fields["config"])
        stream.put(Open(time_ns=self.created_ns, rank=rank, role=role, **fields))  # type: ignore[arg-type]
        return stream

    def close(self) -> None:
        self.journal.close()


class HomeBuilder:
    """A home folder, and the runs in it."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path.resolve())
        self.path = self.home.path
        self._runs = 0

    def run(
        self, run_id: str = "", *, age_s: int | None = None, segment_bytes: int = 64 << 20
    ) -> RunBuilder:
        """A new run; each is a second younger than the one before."""
        self._runs += 1
        created_ns = (
            START_NS + self._runs * SECOND_NS if age_s is None else START_NS - age_s * SECOND_NS
        )
        return RunBuilder(
            self.home,
            run_id or f"run{self._runs}",
            created_ns=created_ns,
            segment_bytes=segment_bytes,
        )

    def finished_run(self, run_id: str = "", rows: int = 3, **fields: object) -> RunBuilder:
        """A run of one trainer that logged `loss` and finished."""
        run = self.run(run_id)
        stream = run.stream(**fields)
        for step in range(rows):
            stream.log({"loss": 1.0 / (step + 1), "lr": 0.1}, step)
        stream.close()
        run.close()
        return run
