"""The hot path: one `log()` call, from a mapping to bytes in the black box.

What it costs is what training pays, so the plain case runs straight through `RowLog.log`: the names are
those of the last row, the values are floats, the row fits. Everything odd leaves it by a method that says
what is odd.

Five rules hold it together:

- The bytes are stored first and the head is published after them, by one aligned 8-byte store: a kill at any
  instruction leaves whole rows only.
- Between reading the head and publishing it nothing is called, so a signal handler that logs cannot get in
  between (CPython looks for signals at calls and jumps back, and in the product of two long integers: so the
  head's three copies are put together by shifts). The lock keeps other threads out; it is re-entrant, so that
  such a handler cannot dead-lock.
- The packer must not be entered twice, so no Python code of a value runs inside it: values that it does not
  know become plain before, in a copy of the row that nobody else can change. The garbage collector may run
  there all the same, and with it finalizers and signal handlers, which may log; so the packer is taken while
  it packs, and who comes meanwhile packs with another.
- What takes more than an append (`_place`) does call; an item that a handler logs meanwhile waits in line.
- msgpack packs more than a row may hold (lists, bytes, deep mappings), and the daemon would have to refuse
  the whole row. So a row is looked through whenever its size is not that of the last good one.

Words to the user go out after the lock is free: a log handler may itself wait for a thread that logs.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from exptrack_agent.blackbox import FENCE_BYTES, BlackBox, Segment, Span
from exptrack_agent.errors import Misuse
from exptrack_agent.given import made_plain, name_fault, rows_of, split_row, whole_number
from exptrack_agent.notices import say_once
from exptrack_agent.values import (
    PACKED_BUT_NO_SCALAR,
    PLAIN_KINDS,
    NotScalar,
    flat_names,
    is_packed_as_is,
    is_sound,
    plain_values,
    shown,
)
from exptrack_proto.frame import Kind
from exptrack_proto.limits import (
    KIB,
    MAX_FRAME_BYTES,
    MAX_METRICS_PER_ROW,
    MAX_NAME_CHARS,
    MAX_ROW_BYTES,
    MAX_STEP,
    MIB,
    MIN_STEP,
)
from exptrack_proto.ring import CELL_HEAD

if TYPE_CHECKING:
    from exptrack_agent.device import DeviceValues

MAX_ITEM_BYTES = MAX_FRAME_BYTES - KIB
"""An item that is no row travels in a frame of its own, whose header takes its room."""

_packb: Callable[[object], bytes] = msgpack.packb
_SAMPLES = 4096
_MOST_NAME_SETS = 256
_MOST_REMEMBERED_BYTES = 8 * MIB
_MOST_KINDS = 1_000


class _Unsound(Exception):
    """The packed row is none: it has to be taken apart."""


class _NameSet:
    """What is known of rows that have the same names.

    Attributes:
        row: the last of them, while others are logged.
        odd: names whose values msgpack does not know.
        size: bytes of the last row that was looked through; another row of this size is not.
    """

    __slots__ = ("odd", "row", "size")

    def __init__(self) -> None:
        self.row = b""
        self.odd: tuple[str, ...] = ()
        self.size = -1


class MediaValue(NamedTuple):
    """A media object of a row, to be encoded when the lock is free: that may take long."""

    name: str
    value: Any
    step: int
    time_ns: int


class RowLog:
    """Writes rows and items into a black box. `Run` is one, with everything else that a run has."""

    def __init__(self, box: BlackBox | None, *, strict: bool) -> None:
        self.lock = threading.RLock()
        self.stop_requested = ""
        """Why somebody asked this run to stop, or ""; training may look at it and obey."""
        self.landing: DeviceValues | None = None
        """Values that are under way from an accelerator (exptrack_agent.device)."""
        self._strict = strict
        self._box = box
        self._segment: Segment | None = None
        self._names: tuple[str, ...] = ()
        self._set = _NameSet()
        self._kinds: set[type] = set(PLAIN_KINDS)
        """Types of values that are numbers."""
        self._next_step = self._sequence = 0
        self._lost_since: int | None = None
        self._last_row: bytes = b""
        self._name_sets: dict[tuple[str, ...], _NameSet] = {}
        self._remembered_bytes = 0
        self._pack: Callable[[object], bytes] = msgpack.Packer().pack
        """Is taken while it packs. Where an interrupt keeps it, rows are packed by `_packb`, more slowly."""
        self._memory = self._cells = memoryview(b"")
        self._other_items = self._head = 0
        self._fence = self._limit = -1
        """The fence while an append will do; -1: everything goes through `_place`."""
        self._waiting: deque[tuple[bytes, Kind]] = deque()
        self._placing = False
        self._ended = ""
        """Why nothing is taken any more, or ""."""
        self._words: dict[str, str] = {}
        self._media_lock = threading.RLock()
        """Keeps the pieces of one media object together, while rows may pass."""
        self.refused = 0
        """Values left out because the caller gave something that is no metric."""
        self.dropped = 0
        """Items lost for want of room; the run's ledger says which."""
        self.costs_ns: list[int] = []
        """What a sample of `log()` calls cost."""
        if box is not None:
            self._enter_segment(box.active)
            self._limit = self._fence

    # --- the hot path ---------------------------------------------------------------------------

    @property
    def sequence(self) -> int:
        """The sequence that the next item will get."""
        return self._sequence

    @property
    def rows(self) -> int:
        """Rows that stand in the black box or have left it for the daemon."""
        return self._sequence - self._other_items - self.dropped

    def log(  # noqa: C901, PLR0912, PLR0915  # the plain case pays for no call that it does not need
        self, data: Mapping[str, Any], step: int | None = None
    ) -> None:
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
            pack = None
            try:
                if type(data) is not dict:
                    data = _as_dict(data)
                if step is None:
                    step = self._next_step
                    if step > MAX_STEP:
                        step = MAX_STEP
                elif type(step) is not int or not MIN_STEP <= step <= MAX_STEP:
                    step = self._odd_step(step)
                names = tuple(data)
                if names == self._names:
                    known = self._set
                else:
                    data, known = self._other_names(data, names)
                if known.odd:
                    data = made_plain(data, known.odd)
                pack, self._pack = self._pack, _packb
                row = pack((step, time_ns(), data))
                self._pack = pack
                size = len(row)
                if size != known.size:
                    self._look_through(data)
                    known.size = size
            except Misuse:
                raise
            except Exception:  # noqa: BLE001  # whatever a value's own code raises; `_odd` says it
                if pack is not None:
                    self._pack = pack
                media = self._odd(data, step)
            else:
                start = self._head
                end = start + size
                if end <= self._limit:
                    self._memory[start:end] = row
                    self._cells[CELL_HEAD] = end | end << 21 | end << 42
                    self._head = end
                    self._sequence += 1
                    self._next_step = step + 1
                    self._last_row = row
                    return
                media = []
                self._place_row(row, step)
        for part in media:
            self._put_media(part)
        self._speak()

    def log_beside(self, data: dict[str, Any], step: int, time_ns: int) -> None:
        """Record a row of plain values that is no step of the user's: of a hook, or one that has landed."""
        with self.lock:
            if self._box is None:
                return
            for part in rows_of(data, step, time_ns):
                self._place(part, Kind.ROWS)
                self._remember_row(tuple(data), part)

    def land(self) -> None:
        """Take in the values of accelerators that have landed; never waits. The courier calls it."""
        if self.landing is not None:
            self.landing.poll()

    def last_values(self) -> dict[str, Any]:
        """The last value of every metric (of the last 256 combinations of names), nested names joined."""
        with self.lock:
            rows = [known.row for known in self._name_sets.values()] + [self._last_row]
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

    def put_item(self, packed: bytes, kind: Kind = Kind.EVENT) -> bool:
        """Store one packed item that is no row; False when it had to be dropped (the ledger has it)."""
        with self.lock:
            return self._box is not None and self._place(packed, kind)

    def close_rows(self) -> None:
        """Let the courier have what was logged so far."""
        with self.lock:
            if self._box is not None and not self._placing and self._lost_since is None:
                self._box.close_rows(self._head, self._sequence)

    def end(self, last: bytes, reason: str) -> BlackBox | None:
        """Store a last item; from then on nothing is taken. Returns the box, which is the caller's now."""
        with self.lock:
            self._limit = -1
            self._waiting.append((last, Kind.CLOSE))
            # Not by `_place`: a signal handler may end the run while an item is being placed.
            try:
                while self._waiting:
                    self._settle(*self._waiting.popleft())
            except Exception as error:  # noqa: BLE001  # as in `_place`
                self._words["placing"] = f"a fault of exptrack: {error!r}"
            box, self._box, self._limit, self._ended = self._box, None, -1, reason
            return box

    def reset_after_fork(self) -> None:
        """Forget everything that belongs to the parent, or that another thread had in hand."""
        self.lock, self._media_lock = threading.RLock(), threading.RLock()
        self._box, self._fence, self._limit, self._placing = None, -1, -1, False
        self._waiting.clear()
        self._words = {}
        self.landing = None

    def _place_row(self, row: bytes, step: int) -> None:
        """A row that does not fit before the fence, or is too large for one frame."""
        self._next_step = step + 1
        self._last_row = row
        if self._box is None:
            if self._ended:
                self._refuse("finished", f"{self._ended}, so what is logged now is not recorded")
            return
        if len(row) <= MAX_ROW_BYTES:
            self._place(row, Kind.ROWS)
            return
        for part in split_row(row):
            if len(part) <= MAX_ROW_BYTES:
                self._place(part, Kind.ROWS)
                continue
            name = next(iter(msgpack.unpackb(part)[2]))
            self._refuse(
                "size",
                f"the value of {shown(name)} has more than {MAX_ROW_BYTES:,} bytes and was left out;"
                " exptrack's Text keeps the beginning of a long text",
            )

    def _place(self, packed: bytes, kind: Kind) -> bool:
        """Store an item in line with those that signal handlers log meanwhile; False: it was dropped."""
        self._waiting.append((packed, kind))
        if self._placing:
            return True
        dropped = self.dropped
        self._placing, self._limit = True, -1
        try:
            while self._waiting:
                self._settle(*self._waiting.popleft())
            # no call from here, where the line was seen empty, until `_placing` is off
            self._limit = self._fence if self._box is not None else -1
        except Exception as error:  # noqa: BLE001  # a fault of ours must not reach training
            self.refused += 1  # not dropped: no sequence was spent on it
            self._words["placing"] = f"a row was left out, which is a fault of exptrack: {error!r}"
            return False
        finally:
            self._placing = False
        return self.dropped == dropped

    def _settle(self, packed: bytes, kind: Kind) -> None:
        """Store one item: before the fence, behind it, or in a further segment; else it is lost."""
        box = self._box
        if box is None:
            return
        if box.active is not self._segment:  # an interrupt came when it was turned
            self._enter_segment(box.active)
        if not self._make_room(box, len(packed), kind):
            self._lose(box)
            return
        if kind is Kind.ROWS:
            self._store(packed, len(packed))
        else:
            self._store_item(box, packed, kind)

    def _make_room(self, box: BlackBox, size: int, kind: Kind) -> bool:
        """Make `size` bytes fit at the head; False: there is no room anywhere."""
        if self._lost_since is None:
            if kind is Kind.ROWS and self._head + size <= self._fence:
                return True
            box.close_rows(self._head, self._sequence)
            if self._head + size <= box.active.size:
                self._fence = min(self._head + max(FENCE_BYTES, size), box.active.size)
                return True
        if box.turn(self._sequence, last_word=kind is Kind.CLOSE) is None:
            return False
        self._enter_segment(box.active)
        self._warn_of_memory(box)
        self._confess(box)
        return True

    def _enter_segment(self, segment: Segment) -> None:
        """Begin to write at the start of the box's active segment."""
        memory, cells = segment.memory, segment.cells
        assert memory is not None
        head = segment.head
        fence = min(head + FENCE_BYTES, segment.size)
        self._memory, self._cells, self._head, self._fence = memory, cells, head, fence
        self._segment = segment

    def _store(self, packed: bytes, size: int) -> None:
        if self._box is None:  # a signal handler ended the run just now
            return
        start = self._head
        end = start + size
        self._memory[start:end] = packed
        self._cells[CELL_HEAD] = end | end << 21 | end << 42
        self._head = end
        self._sequence += 1

    def _store_item(
        self, box: BlackBox, packed: bytes, kind: Kind, since: int | None = None
    ) -> None:
        """Store an item that is no row, and close its span: no call comes between the two."""
        segment, start, first, size = box.active, self._head, self._sequence, len(packed)
        end = start + size
        span = Span(segment, start, end, first, 1, kind)
        if self._box is None:  # a signal handler ended the run just now
            return
        if since is not None:
            span.since, self._lost_since = since, None
        self._memory[start:end] = packed
        self._cells[CELL_HEAD] = end | end << 21 | end << 42
        self._head = end
        self._sequence += 1
        self._other_items += 1
        segment.open_spans += 1
        box.span_start, box.span_first = end, first + 1
        box.spans.append(span)

    def _lose(self, box: BlackBox) -> None:
        """No room: this item's sequence is spent, so that the gap says exactly what is missing."""
        if self._lost_since is None:
            self._lost_since = self._sequence
            self._fence = -1  # nothing more into this segment: its items stay consecutive
            self._words["lost"] = (
                "rows are being dropped: no daemon takes them, and memory and spool are full"
                f" ({box.state.spool_refused or box.state.memory_refused or 'their bounds'});"
                " start `exptrack daemon start` or free disk space (the loss is counted in the run)"
            )
        self._sequence += 1
        self.dropped += 1

    def _confess(self, box: BlackBox) -> None:
        """The first item after a loss says which sequences are missing, and why."""
        since = self._lost_since
        if since is None:
            return
        reason = box.state.spool_refused or box.state.memory_refused or "memory and spool were full"
        loss = {
            "kind": "loss",
            "time_ns": time_ns(),
            "first": since,
            "last": self._sequence - 1,
            "reason": reason[:MAX_NAME_CHARS],
        }
        self._store_item(box, msgpack.packb(loss), Kind.EVENT, since)

    def _warn_of_memory(self, box: BlackBox) -> None:
        if box.active.path is None and box.state.memory_refused:
            self._words["memory"] = (
                f"shared memory takes no more ({box.state.memory_refused}): rows are kept in this process"
                " until a daemon or the spool has them, and a kill would lose those"
            )

    # --- what is odd ----------------------------------------------------------------------------

    def _look_through(self, data: Mapping[str, Any]) -> None:
        """Whether what was packed is a row.

        Raises:
            _Unsound: it is not.
        """
        if len(data) > MAX_METRICS_PER_ROW:
            raise _Unsound
        kinds = set(map(type, data.values()))
        if not kinds <= self._kinds:
            self._look_closer(data, kinds)

    def _look_closer(self, data: Mapping[str, Any], kinds: set[type]) -> None:
        odd = [kind for kind in kinds - self._kinds if issubclass(kind, PACKED_BUT_NO_SCALAR)]
        if odd and not is_sound(data):
            raise _Unsound
        if len(self._kinds) < _MOST_KINDS:
            self._kinds.update(kinds.difference(odd))

    def _odd_step(self, step: object) -> int:
        try:
            number = whole_number(step)
        except Exception:  # noqa: BLE001  # an object's own code may raise anything
            number = None
        if number is None:
            self._refuse(
                "step", f"a step is a whole number, not {shown(step)}; the next step was used"
            )
            return min(self._next_step, MAX_STEP)
        if not MIN_STEP <= number <= MAX_STEP:
            self._refuse(
                "step range", f"step {shown(number)} is beyond 64 bits; the nearest was used"
            )
            return max(MIN_STEP, min(MAX_STEP, number))
        return number

    def _other_names(
        self, data: Mapping[str, Any], names: tuple[Any, ...]
    ) -> tuple[Mapping[str, Any], _NameSet]:
        """Other names than in the last row: check those that are new, and remember the last row's values.

        Returns:
            The row without names that are none, and what is known of such rows.
        """
        left, last = self._set, self._last_row
        self._remembered_bytes += len(last) - len(left.row)
        left.row = last
        known = self._name_sets.get(names)
        if known is not None:
            self._names, self._set = names, known
            return data, known
        faults = {name: fault for name in names if (fault := name_fault(name))}
        for fault in faults.values():
            self._refuse("name", fault)
        if faults:
            data = {name: value for name, value in data.items() if name not in faults}
            names = tuple(data)
        return data, self._begin_names(names)

    def _remember_row(self, names: tuple[str, ...], row: bytes) -> None:
        """The last row of these names, for `last_values`."""
        known = self._name_sets.setdefault(names, _NameSet())
        self._remembered_bytes += len(row) - len(known.row)
        known.row = row

    def _begin_names(self, names: tuple[str, ...]) -> _NameSet:
        """Remember these names from now on; forget the oldest when they are many, or much."""
        known = self._name_sets
        begun = known.setdefault(names, _NameSet())
        self._names, self._set = names, begun
        while len(known) > _MOST_NAME_SETS or (
            self._remembered_bytes > _MOST_REMEMBERED_BYTES and len(known) > 1
        ):
            oldest = next(iter(known))
            self._remembered_bytes -= len(known.pop(oldest).row)
        return begun

    def _odd(self, data: object, step: object) -> list[MediaValue]:
        """Something in the row could not be packed: keep what can be kept, one value at a time."""
        time = time_ns()
        if not isinstance(data, Mapping):
            self._refuse("mapping", f"log() takes a mapping of names to values, not {shown(data)}")
            return []
        try:
            number = min(self._next_step, MAX_STEP) if step is None else self._odd_step(step)
            values = dict(data)
            plain, media, faults, on_device = plain_values(values)
            for fault in faults:
                self._refuse(f"value {fault.reason}", f"{fault.name}: {fault.reason}")
            if on_device:
                self._put_on_device(on_device, number, time)
            if plain or not (media or faults or on_device):
                for part in rows_of(plain, number, time):
                    self._place_row(part, number)
        except Misuse:
            raise
        except Exception as error:  # noqa: BLE001  # a mapping's own code may raise anything
            self._refuse("row", f"a row could not be read ({type(error).__name__})")
            return []
        self._next_step = number + 1
        if not (media or faults or on_device) and tuple(values) == self._names:
            self._set.odd = tuple(
                name for name, value in values.items() if not is_packed_as_is(value)
            )
        return [MediaValue(name, value, number, time) for name, value in media]

    def _put_on_device(self, named: list[tuple[str, Any]], step: int, time: int) -> None:
        if self._box is None:
            return
        from exptrack_agent.device import device_values  # here, since few log such values

        device_values(self).put_row(named, lambda row: self.log_beside(row, step, time))

    def _put_media(self, media: MediaValue) -> None:
        try:
            items = media.value.items(media.name, media.step, media.time_ns)
            packed = [msgpack.packb(item) for item in items]
        except NotScalar as error:
            self._refuse(f"media {error}", f"{media.name}: {error}")
            return
        except Exception as error:  # noqa: BLE001  # the object's own code may raise anything
            reason = f"encoding it raised {type(error).__name__}: {error}"
            self._refuse(f"media {reason}", f"{media.name}: {reason}")
            return
        if max(map(len, packed), default=0) > MAX_ITEM_BYTES:
            self._refuse(
                "media size", f"{media.name}: it is too large for one message; log less of it"
            )
            return
        with self._media_lock:
            for item in packed:
                if not self.put_item(item):
                    return

    def _refuse(self, kind: str, message: str) -> None:
        """Misuse: an exception in strict mode, else counted and said once."""
        if self._strict:
            raise Misuse(message)
        self.refused += 1
        self._limit = -1  # so that this call does not return before it has spoken
        if len(self._words) < _MOST_KINDS:
            self._words.setdefault(f"misuse {kind}", f"{message} (said once; the run goes on)")

    def _speak(self) -> None:
        """Say what there is to say, once; not with the lock held."""
        words, self._words = self._words, {}
        for kind, message in words.items():
            say_once(kind, message)


def _as_dict(given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise _Unsound
    return dict(given)
