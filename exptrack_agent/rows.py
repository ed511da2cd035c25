"""The hot path: one `log()` call, from a mapping to bytes in the black box.

What it costs is what training pays, so the plain case runs straight through `RowLog.log`: the names are
those of the last row, the values are floats, the row fits. Everything odd leaves it by a method that says
what is odd.

Two rules hold it together:

- The bytes are stored first and the head is published after them, by one aligned 8-byte store: a kill at any
  instruction leaves whole rows only.
- Between reading the head and publishing it nothing is called, so a signal handler that logs cannot get in
  between (CPython looks for signals at calls and jumps back). The lock keeps other threads out; it is
  re-entrant, so that such a handler cannot dead-lock. While a value's own code runs inside the packer, a
  nested `log()` gets the other packer: a packer in use must not be entered.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Mapping
from time import perf_counter_ns, time_ns
from typing import Any

import msgpack

from exptrack_agent.blackbox import FENCE_BYTES, BlackBox
from exptrack_agent.errors import Misuse
from exptrack_agent.notices import say_once
from exptrack_agent.values import NotScalar, clean_text, coerce_scalar, flat_names, plain_values
from exptrack_proto.frame import Kind
from exptrack_proto.limits import (
    MAX_METRICS_PER_ROW,
    MAX_NAME_CHARS,
    MAX_ROW_BYTES,
    MAX_STEP,
    MIN_STEP,
)
from exptrack_proto.ring import CELL_HEAD

_SAMPLES = 4096


class RowLog:
    """Writes rows and items into a black box. `Run` is one, with everything else that a run has."""

    def __init__(self, box: BlackBox | None, *, strict: bool) -> None:
        self.lock = threading.RLock()
        self.stop_requested = ""
        """Why somebody asked this run to stop, or ""; training may look at it and obey."""
        self._strict = strict
        self._box = box
        self._names: tuple[str, ...] = ()
        self._next_step = 0
        self._sequence = 0
        self._lost_since: int | None = None
        self._last_row: bytes = b""
        self._rows_by_names: dict[tuple[str, ...], bytes] = {}
        self._pack: Callable[[object], bytes] = msgpack.Packer(default=self._coerce).pack
        self._other_pack: Callable[[object], bytes] | None = msgpack.Packer(
            default=self._coerce
        ).pack
        self._other_items = 0
        self._memory = self._cells = memoryview(b"")
        self._head = 0
        self._limit = -1
        self.refused = 0
        """Values left out because the caller gave something that is no metric."""
        self.dropped = 0
        """Items lost for want of room; the run's ledger says which."""
        self.costs_ns: list[int] = []
        """What a sample of `log()` calls cost."""
        self._enter_segment()

    # --- the hot path ---------------------------------------------------------------------------

    @property
    def sequence(self) -> int:
        """The sequence that the next item will get."""
        return self._sequence

    @property
    def rows(self) -> int:
        """Rows that stand in the black box or have left it for the daemon."""
        return self._sequence - self._other_items - self.dropped

    def log(self, data: Mapping[str, Any], step: int | None = None) -> None:
        """Record values of metrics at a step; returns in about a microsecond and never blocks.

        Args:
            data: values by metric name: numbers (Python, NumPy, 0-d tensors), bools, short texts, media
                objects, or mappings of these up to 4 deep, whose names are joined by `/`. NaN and
                infinities are kept.
            step: where on the x axis, -2**63 … 2**63 - 1. None: one more than in the last call (0 at
                first). Any order of steps is kept.

        Raises:
            Misuse: only with `strict=True`, for an argument that cannot be taken. Otherwise such a
                value is counted in `stats()`, and said once; all others of the call are kept.
        """
        with self.lock:
            if type(data) is not dict:
                given: object = data
                if not isinstance(given, Mapping):
                    self._refuse("mapping", f"log() takes a mapping of names to values, not {given!r:.60}")
                    return
                data = dict(given)
            if step is None:
                step = self._next_step
            elif type(step) is not int or not MIN_STEP <= step <= MAX_STEP:
                step = self._odd_step(step)
            names = tuple(data)
            if names != self._names:
                data = self._other_names(data, names)
            try:
                row = self._pack((step, time_ns(), data))
            except Exception:  # noqa: BLE001  # whatever a value's own code raises; `_odd` says it
                self._odd(data, step)
                return
            size = len(row)
            start = self._head
            end = start + size
            if end > self._limit:
                self._place_row(row, data, step)
                return
            self._memory[start:end] = row
            self._cells[CELL_HEAD] = end
            self._head = end
            self._sequence += 1
            self._next_step = step + 1
            self._last_row = row

    def last_values(self) -> dict[str, Any]:
        """The last value of every metric (of the last 256 combinations of names), nested names joined."""
        with self.lock:
            rows = [*self._rows_by_names.values(), self._last_row]
        values: dict[str, Any] = {}
        for _, _, row in sorted(
            (msgpack.unpackb(row) for row in rows if row), key=lambda row: row[1]
        ):
            values |= flat_names(row)
        return values

    def log_timed(self, data: Mapping[str, Any], step: int | None = None) -> None:
        """`log`, timed; the courier lets one call in some milliseconds come through here."""
        self.__dict__.pop("log", None)
        began = perf_counter_ns()
        self.log(data, step)
        cost = perf_counter_ns() - began
        if len(self.costs_ns) < _SAMPLES:
            self.costs_ns.append(cost)
        else:
            self.costs_ns[cost % _SAMPLES] = cost

    # --- placing bytes in the box ---------------------------------------------------------------

    def _place_row(self, row: bytes, data: Mapping[str, Any], step: int) -> None:
        """A row that does not fit before the fence: move the fence, turn the segment, split, or drop."""
        if self._box is None:
            return
        if len(row) > MAX_ROW_BYTES:
            self._split(data, step)
            return
        if self._make_room(len(row)):
            self._store(row)
            self._last_row = row
        self._next_step = step + 1

    def put_item(self, packed: bytes, kind: Kind = Kind.EVENT) -> bool:
        """Store one packed item that is no row; False when it had to be dropped (the ledger has it)."""
        with self.lock:
            if self._box is None or not self._make_room(len(packed)):
                return False
            self._box.close_rows(self._head, self._sequence)
            self._store(packed)
            self._box.close_item(self._head, self._sequence, kind)
            self._other_items += 1
            return True

    def close_rows(self) -> None:
        """Let the courier have what was logged so far."""
        with self.lock:
            if self._box is not None:
                self._box.close_rows(self._head, self._sequence)

    def _store(self, packed: bytes) -> None:
        start = self._head
        end = start + len(packed)
        self._memory[start:end] = packed
        self._cells[CELL_HEAD] = end
        self._head = end
        self._sequence += 1

    def _make_room(self, size: int) -> bool:
        """Make `size` bytes fit at the head; False: there is no room anywhere, one item is lost."""
        assert self._box is not None
        if self._lost_since is None:
            self._box.close_rows(self._head, self._sequence)
            if self._head + size <= self._box.active.size:
                self._limit = min(self._head + max(FENCE_BYTES, size), self._box.active.size)
                return True
        sequence = self._sequence
        if self._box.turn(sequence) is None:
            self._lose()
            return False
        self._enter_segment()
        if self._lost_since is not None:
            self._confess(self._lost_since, sequence - 1)
        return True

    def _enter_segment(self) -> None:
        """Begin to write at the start of the box's active segment (none: a run that keeps nothing)."""
        if self._box is None:
            self._limit = -1
            return
        memory = self._box.active.memory
        assert memory is not None
        self._memory, self._cells = memory, self._box.active.cells
        self._head = int(self._cells[CELL_HEAD])
        self._limit = min(self._head + FENCE_BYTES, len(memory))

    def _lose(self) -> None:
        """No room: this item's sequence is spent, so that the gap says exactly what is missing."""
        if self._lost_since is None:
            self._lost_since = self._sequence
            self._limit = -1  # nothing more into this segment: its items stay consecutive
            say_once(
                "lost",
                "rows are being dropped: no daemon takes them, and memory and spool are full;"
                " start `exptrack daemon start` or free disk space (the loss is counted in the run)",
            )
        self._sequence += 1
        self.dropped += 1

    def _confess(self, first: int, last: int) -> None:
        """The first item after a loss says which sequences are missing, and why."""
        assert self._box is not None
        self._lost_since = None
        reason = self._box.state.spool_refused or "memory and spool were full"
        loss = {
            "kind": "loss",
            "time_ns": time_ns(),
            "first": first,
            "last": last,
            "reason": reason,
        }
        self._store(msgpack.packb(loss))
        self._box.close_item(self._head, self._sequence, Kind.EVENT)
        self._other_items += 1

    # --- what is odd ----------------------------------------------------------------------------

    def _coerce(self, value: object) -> object:
        """Msgpack does not know this value: make it a number, or say why not."""
        mine = self._pack
        self._pack = self._other_pack or msgpack.Packer(default=self._coerce).pack
        self._other_pack = None
        try:
            return coerce_scalar(value)
        finally:
            self._pack, self._other_pack = mine, self._pack

    def _odd_step(self, step: object) -> int:
        number = _whole(step)
        if number is None:
            self._refuse("step", f"a step is a whole number, not {step!r}; the next step was used")
            return self._next_step
        if not MIN_STEP <= number <= MAX_STEP:
            self._refuse("step range", f"step {number} is beyond 64 bits; the nearest was used")
            return max(MIN_STEP, min(MAX_STEP, number))
        return number

    def _other_names(self, data: Mapping[str, Any], names: tuple[Any, ...]) -> Mapping[str, Any]:
        """Other names than in the last row: check those that are new, and remember the last row's values."""
        if self._last_row:
            self._rows_by_names[self._names] = self._last_row
        if names in self._rows_by_names:
            self._names = names
            return data
        faults = [(name, fault) for name in names if (fault := _name_fault(name))]
        if faults or len(names) > MAX_METRICS_PER_ROW:
            for name, fault in faults:
                self._refuse("name", fault, items=1)
                data = {key: value for key, value in data.items() if key is not name}
            return data
        if len(self._rows_by_names) >= 256:
            self._rows_by_names.pop(next(iter(self._rows_by_names)))
        self._names = names
        return data

    def _odd(self, data: Mapping[str, Any], step: int) -> None:
        """Something in the row could not be packed: keep what can be kept, one value at a time."""
        time = time_ns()
        try:
            plain, media, faults = plain_values(data)
            for fault in faults:
                self._refuse("value", fault)
            if plain or not (media or faults):
                self._pack_and_place(plain, step, time)
            for name, value in media:
                self._put_media(name, value, step, time)
        except Misuse:
            raise
        except Exception as error:  # noqa: BLE001  # a mapping that changes while it is read, and the like
            self._refuse("row", f"a row could not be read ({type(error).__name__}: {error})")
        self._next_step = step + 1

    def _put_media(self, name: str, value: Any, step: int, time: int) -> None:
        try:
            items = value.items(clean_text(name), step, time)
        except NotScalar as error:
            self._refuse("media", f"{name}: {error}")
            return
        for item in items:
            if not self.put_item(msgpack.packb(item)):
                return

    def _split(self, data: Mapping[str, Any], step: int) -> None:
        """A row too wide for one frame becomes several of the same step and time."""
        names = list(data)
        if len(names) < 2:
            self._refuse("size", f"the value of {names[:1]} is larger than {MAX_ROW_BYTES} bytes")
            return
        time = time_ns()
        middle = len(names) // 2
        for part in (names[:middle], names[middle:]):
            self._pack_and_place({name: data[name] for name in part}, step, time)

    def _pack_and_place(self, data: Mapping[str, Any], step: int, time: int) -> None:
        row = self._pack((step, time, data))
        if self._head + len(row) > self._limit or len(row) > MAX_ROW_BYTES:
            self._place_row(row, data, step)
            return
        self._store(row)

    def _refuse(self, kind: str, message: str, *, items: int = 1) -> None:
        """Misuse: an exception in strict mode, else counted and said once."""
        if self._strict:
            raise Misuse(message)
        self.refused += items
        say_once(f"misuse {kind}", f"{message} (said once; the run goes on)")


def _whole(step: object) -> int | None:
    if isinstance(step, float):
        return int(step) if step.is_integer() else None
    try:
        return operator.index(step)  # type: ignore[arg-type]  # asks the object itself
    except TypeError:
        return None


def _name_fault(name: object) -> str:
    if not isinstance(name, str):
        return f"a metric's name is a text, not {type(name).__name__} {name!r:.40}; this value was left out"
    if len(name) > MAX_NAME_CHARS:
        return (
            f"a metric's name has {len(name)} characters, more than {MAX_NAME_CHARS}:"
            f" {name[:40]!r}…; this value was left out"
        )
    return ""
