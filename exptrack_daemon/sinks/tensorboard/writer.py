"""One writer's share of the event files: a rank of the trainer, or the sampler. Pure: items in, records out.

What comes out depends on the items and their order alone. In particular it does not depend on how entries
were batched, so that a replay writes the very bytes that an open TensorBoard has read already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from exptrack_daemon.journal.entries import Stream
from exptrack_daemon.sinks.shown_names import ShownNames
from exptrack_daemon.sinks.tensorboard import events
from exptrack_daemon.sinks.tensorboard.events import RowShape, Value
from exptrack_daemon.sinks.tensorboard.lanes import UNSEEN, Lane, Lanes
from exptrack_daemon.sinks.tensorboard.records import frame
from exptrack_proto.limits import MAX_STEP
from exptrack_proto.records import Row

Pages: TypeAlias = defaultdict[str, list[bytes]]
"""Records by the folder whose file they go to."""
Named: TypeAlias = tuple[str, str, Value]
"""A name as the user gave it, the kind of value, the value."""

_RESERVED = ("_hparams_/", "__run_graph__")
"""Tags by which TensorBoard finds its own things; a metric called so would hide them."""
_MOST_KEPT_VALUES = 8_192
_NUMBERS = (float, int)  # bool is an int


class _KeptShape:
    __slots__ = ("encode", "keys", "known_keys", "tags", "width")

    def __init__(self, resolved: Sequence[tuple[str, bytes | None]]) -> None:
        self.tags = [tag for tag, _ in resolved]
        self.keys = [key for _, key in resolved]
        self.known_keys = [key for key in self.keys if key is not None]
        self.encode = RowShape(self.tags).encode
        self.width = len(resolved)


class Writer:
    """Turns rows and media of one writer into framed records, each in its folder."""

    def __init__(
        self, lanes: Lanes, pages: Pages, opened_ns: int, names: ShownNames | None = None
    ) -> None:
        self.lanes = lanes
        self.last_step = 0
        """Of the newest attempt; where things without a step of their own stand."""
        self._attempt = 0
        self._straggling = False
        self._pages = pages
        self._names = names or ShownNames()
        self._opened_ns = opened_ns
        self._shapes: dict[tuple[str, ...], _KeptShape] = {}
        self._kept_values = 0
        # Rows of one shape follow one another. Their last step is kept here alone until another shape comes:
        # then one comparison says that a row fits, where each tag would have to be asked.
        self._front: _KeptShape | None = None
        self._front_step = UNSEEN

    def enter(self, stream: Stream) -> None:
        """What follows comes from this stream."""
        if stream.attempt > self._attempt:
            self._settle_front()
            self.lanes.new_attempt()
            self._attempt = stream.attempt
        # An older attempt's rows, recovered after the newer one opened, must not replace its points.
        self._straggling = stream.attempt < self._attempt
        if self._straggling:
            self._settle_front()

    def write_rows(self, rows: list[Row]) -> None:
        shapes, append = self._shapes, self._pages[self.lanes.main.folder].append
        for row in rows:
            shape = shapes.get(tuple(row.values))
            if shape is None:
                self._write_unknown(row)
                continue
            try:
                data = shape.encode(row.step, row.time_ns, row.values.values())
            except TypeError:
                self._write_mixed(row)
                continue
            if shape is self._front and row.step > self._front_step:
                self._front_step = row.step
                append(frame(data))
            else:
                self._place_row(row, shape, data)
        if not self._straggling:
            self.last_step = rows[-1].step

    def _write_unknown(self, row: Row) -> None:
        if not all(isinstance(value, _NUMBERS) for value in row.values.values()):
            self._write_mixed(row)
        elif row.values:
            shape = self._keep_shape(tuple(row.values))
            data = shape.encode(row.step, row.time_ns, row.values.values())
            self._place_row(row, shape, data)

    def _keep_shape(self, names: tuple[str, ...]) -> _KeptShape:
        shown = self._names.shown_in_row(names)
        shape = _KeptShape([self._resolve(name, "scalar") for name in shown])
        self._kept_values += shape.width
        if self._kept_values > _MOST_KEPT_VALUES:
            self._shapes.clear()
            self._kept_values = shape.width
        self._shapes[names] = shape
        return shape

    def _write_mixed(self, row: Row) -> None:
        numbers: dict[str, Any] = {}
        texts: list[Named] = []
        for name, value in row.values.items():
            if isinstance(value, str):
                texts.append((name, "text", events.text(value)))
            elif value is not None:
                numbers[name] = value
        if numbers:
            plain = Row(row.step, row.time_ns, numbers)
            shape = self._shapes.get(tuple(numbers)) or self._keep_shape(tuple(numbers))
            data = shape.encode(row.step, row.time_ns, numbers.values())
            self._place_row(plain, shape, data)
        if texts:
            self.write_values(texts, row.step, row.time_ns)

    def _place_row(self, row: Row, shape: _KeptShape, data: bytes) -> None:
        self._settle_front()
        step = row.step
        if not self._straggling and self.lanes.fits_main(shape.known_keys, step):
            self._front, self._front_step = shape, step
            self._append(self.lanes.main, data, row.time_ns)
            return
        lanes = [self._place(key, step) for key in shape.keys]
        if all(lane is lanes[0] for lane in lanes):
            self._append(lanes[0], data, row.time_ns)
            return
        numbers = row.values.values()
        values = [
            _tagged(events.scalar(number), tag)  # type: ignore[arg-type]  # texts were taken out
            for tag, number in zip(shape.tags, numbers, strict=True)
        ]
        self._append_by_lane(lanes, values, step, row.time_ns)

    def _settle_front(self) -> None:
        if self._front is not None:
            steps = dict.fromkeys(self._front.known_keys, self._front_step)
            self.lanes.main.tops.update(steps)
            self._front = None

    def write_values(
        self, named: Iterable[Named], step: int, time_ns: int, *, own_step: bool = True
    ) -> None:
        """Write values at a step; not `own_step`: they stand at `last_step` for want of one."""
        self._settle_front()
        lanes, values = [], []
        for name, kind, value in named:
            tag, key = self._resolve(self._names.shown(name), kind)
            lanes.append(self._place(key, step))
            values.append(_tagged(value, tag))
        self._append_by_lane(lanes, values, step, time_ns)
        if own_step and not self._straggling:
            self.last_step = step

    def write_note(self, name: str, markdown: str, time_ns: int) -> None:
        """A text without a step: at the latest one, or just past the note before."""
        self._settle_front()
        _, key = self._resolve(self._names.shown(name), "text")
        top = UNSEEN if key is None else self.lanes.main.tops[key]
        step = min(max(self.last_step, top + 1), MAX_STEP)
        self.write_values([(name, "text", events.text(markdown))], step, time_ns, own_step=False)

    def write_plain(self, event: bytes, time_ns: int) -> None:
        """An Event that stands outside of steps, in the plain folder."""
        self._append(self.lanes.main, event, time_ns)

    def _resolve(self, name: str, kind: str) -> tuple[str, bytes | None]:
        free = f"metrics/{name}" if name.startswith(_RESERVED) else name
        return self.lanes.resolve(free, kind)

    def _place(self, key: bytes | None, step: int) -> Lane:
        return self.lanes.place(key, step, first=1 if self._straggling else 0)

    def _append_by_lane(
        self, lanes: Sequence[Lane], values: Sequence[Value], step: int, time_ns: int
    ) -> None:
        groups: dict[str, tuple[Lane, list[Value]]] = {}
        for lane, value in zip(lanes, values, strict=True):
            groups.setdefault(lane.folder, (lane, []))[1].append(value)
        for lane, group in groups.values():
            self._append(lane, events.summary_event(step, time_ns, group), time_ns)

    def _append(self, lane: Lane, data: bytes, time_ns: int) -> None:
        page = self._pages[lane.folder]
        if not lane.begun:
            page.append(frame(events.version_event(self._opened_ns)))
            lane.begun = True
        if lane.rewinds:
            page.append(frame(events.rewind_mark(time_ns)))
            lane.rewinds = False
        page.append(frame(data))

    def state(self) -> dict[str, Any]:
        self._settle_front()
        return {"attempt": self._attempt, "last_step": self.last_step, **self.lanes.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self._attempt, self.last_step = state["attempt"], state["last_step"]


def _tagged(value: Value, tag: str) -> Value:
    value.tag = tag
    return value
