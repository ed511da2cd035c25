"""A run as training code sees it: `init`, then `log`, and `finish` when it suits."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from exptrack_agent import preemption
from exptrack_agent.blackbox import BlackBox
from exptrack_agent.courier import Courier, Lane, release_courier
from exptrack_agent.exits import exit_code_of, exits, whole_code
from exptrack_agent.hotpath import HotRowLog
from exptrack_agent.jsontext import json_text
from exptrack_agent.launch import daemon_is_near
from exptrack_agent.media import Histogram
from exptrack_agent.notices import say_once
from exptrack_agent.rows import MediaValue
from exptrack_agent.settings import Mode
from exptrack_agent.values import clean_text, is_on_accelerator, shown
from exptrack_proto.frame import Kind
from exptrack_proto.limits import MAX_JSON_BYTES

if TYPE_CHECKING:
    from exptrack_agent.redact import Redactor

_POLL_S = 0.02
_LANDING_S = 2.0
_LOOK_AGAIN_S = 0.25


class Opening(NamedTuple):
    """What `init` found out about a run, checked."""

    run_id: str
    name: str
    project: str
    home: Path
    mode: Mode
    strict: bool
    record: dict[str, Any]
    """The `open` item, without its config."""
    config: dict[str, Any]
    redactor: Redactor | None = None
    """Takes secrets out of what is recorded; None: the user wants them kept."""


class Recorded(MutableMapping[str, Any]):
    """`run.config` or `run.summary`: a mapping whose changes are recorded in the run."""

    def __init__(self, values: Mapping[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
        self._values = dict(values)
        self._tell = tell

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value
        self._tell({key: value})

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._tell({key: None})

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    def update(self, *others: Any, **values: Any) -> None:
        """Set several keys, recorded as one change."""
        changes: dict[str, Any] = dict(*others, **values)
        self._values.update(changes)
        self._tell(changes)


class Summary(Recorded):
    """The last value of every metric, or what the user set instead."""

    def __init__(self, run: HotRowLog, tell: Callable[[dict[str, Any]], None]) -> None:
        super().__init__({}, tell)
        self._run = run
        self._seen = -1
        self._last: dict[str, Any] = {}

    def _all(self) -> dict[str, Any]:
        sequence = self._run.sequence
        if sequence != self._seen or sequence == 0:  # 0: a run that keeps nothing counts nothing
            self._last, self._seen = self._run.last_values(), sequence
        return {**self._last, **self._values}

    def __getitem__(self, key: str) -> Any:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class Run(HotRowLog):
    """One run (or this rank's part of one). Made by `exptrack_agent.init`.

    Attributes:
        id: stable identity, also across restarts of the same run.
        name: what people see.
        project: what the run belongs to.
        config: hyperparameters; a change is recorded.
        summary: the last value of each metric; a key that is set stays as set.
    """

    def __init__(self, opening: Opening, box: BlackBox | None, config: str) -> None:
        super().__init__(box, strict=opening.strict)
        self.id = opening.run_id
        self.name = opening.name
        self.project = opening.project
        self.home = opening.home
        self.mode: Mode = opening.mode
        self._redactor = opening.redactor
        self.config = Recorded(opening.config, self._tell_config)
        self.summary = Summary(self, self._tell_summary)
        self._courier: Courier | None = None
        self._lane: Lane | None = None
        self._began_ns = time.time_ns()
        self._finished = box is None
        self._finish_lock = threading.Lock()
        self.stopped_by = 0
        """The signal that asked for it (`stop_on_signals`), or 0."""
        if box is not None:
            record = {**opening.record, "config": config}
            self.put_item(msgpack.packb(record), Kind.OPEN)

    def send_through(self, courier: Courier) -> None:
        """Let a courier carry what is logged."""
        assert self._box is not None
        self._lane = Lane(self, self._box, time.monotonic())
        self._courier = courier
        courier.add(self._lane, offline=self.mode == "offline")

    # --- public ---------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 5) -> bool:
        """Wait until all items logged so far are durable in the daemon's journal.

        Returns:
            True if they are; False after `timeout_s`, or at once when there is no daemon (the rows are
            safe in the black box and its spool all the same).
        """
        lane = self._lane
        deadline = time.monotonic() + timeout_s
        has_landed = self.landing is None or self.landing.settle(timeout_s)
        if lane is None or self.mode != "online" or not has_landed:
            return False
        target = self.sequence
        look_at = 0.0
        if self._courier is not None:
            self._courier.hurry()
        with lane.progress:
            while lane.acknowledged < target:
                now = time.monotonic()
                if now >= deadline:
                    return False
                if now >= look_at:
                    look_at = now + _LOOK_AGAIN_S
                    if not self._has_daemon():
                        return False
                lane.progress.wait(min(_POLL_S, deadline - now))
        return True

    def finish(self, exit_code: int = 0, timeout_s: float = 5) -> None:
        """End the run. Sinks may still be busy; that is the daemon's business.

        Args:
            exit_code: 0: the run is `finished`; anything else: `failed`. A run that was asked to stop by a
                signal (`stop_on_signals`) and ends with 0 is `preempted`.
            timeout_s: how long to wait for the last rows to be durable. What is not by then stays in the
                black box, and the daemon, or `exptrack recover`, takes it from there.
        """
        preemption.forget(self)
        with self._finish_lock:
            if self._finished:
                return
            self._finished = True
        if self.landing is not None:
            self.landing.settle(min(timeout_s, _LANDING_S))
        code = whole_code(exit_code)
        if self.stop_requested:
            code = preemption.code_at_end(code, self.stopped_by)
        close = {
            "kind": "close",
            "time_ns": time.time_ns(),
            "status": "finished" if code == 0 else "failed",
            "exit_code": code,
        }
        exits.leave(self)
        box = self.end(msgpack.packb(close), f"run {self.name} is finished")
        try:
            if self._has_daemon():
                self.flush(timeout_s)
        finally:
            self._let_go(box)
            self._speak()

    def stop_on_signals(self, *signals: int) -> None:
        """Let a cluster's signals ask this run to stop: they set `stop_requested` and end nothing themselves.

        The training looks at `stop_requested`, saves and ends. The run is `preempted` then, not `finished`;
        setting `stop_requested = ""` says that it was done anyway. What handled a signal before is called
        too, and handles it alone again after the run's end.

        Args:
            signals: of SIGTERM, SIGUSR1, SIGUSR2 and SIGXCPU; none: SIGTERM and SIGUSR1.

        Raises:
            Misuse: another signal, or another thread than the main one.
        """
        if not self._finished or self.mode == "disabled":
            preemption.listen(self, signals or preemption.USUAL)

    @property
    def is_finished(self) -> bool:
        """Whether the run takes nothing more."""
        return self._finished

    def stats(self) -> dict[str, Any]:
        """What became of the rows, and what `log()` cost.

        Returns:
            `rows` logged; `acked` and `pending` items (rows, media, open and close); `dropped` items;
            `refused` values; `skipped` values of an accelerator that was too far behind; `bytes` in
            memory, `spooled` bytes on disk; `log_p50_us`, `log_p99_us` and `log_max_us` over a sample of
            calls (None before the first).
        """
        acked = self._lane.delivered if self._lane is not None else 0
        box = self._box
        return {
            "rows": self.rows,
            "acked": acked,
            "pending": self.sequence - acked - self.dropped,
            "dropped": self.dropped,
            "refused": self.refused,
            "skipped": self.landing.skipped if self.landing is not None else 0,
            "bytes": box.memory_bytes if box is not None else 0,
            "spooled": box.spooled_bytes if box is not None else 0,
            **_costs(self.costs_ns),
        }

    def log_hparams(
        self, hparams: Mapping[str, Any], metrics: Mapping[str, Any] | None = None
    ) -> None:
        """Record hyperparameters and the metrics they led to, for TensorBoard's HParams page and others."""
        given: tuple[object, ...] = (hparams, metrics or {})
        for values in given:
            if not isinstance(values, Mapping):
                self._refuse(
                    "hparams", f"hparams are mappings of names to values, not {shown(values)}"
                )
                self._speak()
                return
        half = MAX_JSON_BYTES // 2
        self._put(
            "hparams",
            hparams=json_text(hparams, "hparams", half),
            metrics=json_text(metrics or {}, "metrics", half),
        )

    def alert(self, title: str, text: str = "", level: str = "warning") -> None:
        """Record something that a person should see.

        Raises:
            Misuse: `level` is not "info", "warning" or "error" (strict mode; else "warning" is used).
        """
        if level not in ("info", "warning", "error"):
            self._refuse(
                "alert", f'an alert\'s level is "info", "warning" or "error", not {shown(level)}'
            )
            level = "warning"
        self._put(
            "alert",
            title=clean_text(str(title))[:1_000],
            text=clean_text(str(text))[:100_000],
            level=level,
        )
        self._speak()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish(exit_code=exit_code_of(error))

    def __repr__(self) -> str:
        return f"<exptrack run {self.name!r} ({self.id}), {self.mode}, {self.rows} rows>"

    # --- inside ---------------------------------------------------------------------------------

    def put_item(self, packed: bytes, kind: Kind = Kind.EVENT) -> bool:
        """As in `RowLog`, without the secrets in its texts: this is the one way of all but rows."""
        redactor = self._redactor
        return super().put_item(packed if redactor is None else redactor.item(packed), kind)

    def _put_media(self, media: MediaValue) -> None:
        """As in `RowLog`; a distribution of what stands on an accelerator is binned there."""
        values = media.value.values if type(media.value) is Histogram else None
        if hasattr(values, "detach") and is_on_accelerator(values):
            from exptrack_agent.torch.device_histograms import put_histogram
            from exptrack_agent.torch.sending import kept_from_training

            with kept_from_training(media.name):
                put_histogram(self, media.name, values, media.step, media.time_ns)
            return
        super()._put_media(media)

    def _has_daemon(self) -> bool:
        """Whether one may answer: of another machine's nobody can know but by asking."""
        is_remote = self._courier is not None and self._courier.remote is not None
        return is_remote or daemon_is_near(self.home)

    def redacted(self, document: dict[str, Any]) -> dict[str, Any]:
        """A plain document without its secrets, for what is kept beside the run."""
        if self._redactor is None:
            return document
        clean: dict[str, Any] = self._redactor.value(document)
        return clean

    def silence(self) -> None:
        """Forget everything, in a forked child: box, courier and lock belong to the parent."""
        self.reset_after_fork()
        self._finish_lock = threading.Lock()
        self._lane = self._courier = None
        self._finished = True

    def _let_go(self, box: BlackBox | None) -> None:
        """Give the box back: emptied if all is acknowledged, else for the daemon to recover."""
        lane, courier = self._lane, self._courier
        done = courier.remove(lane) if courier is not None and lane is not None else False
        if box is None or done is None:
            return
        is_safe = False
        with contextlib.suppress(OSError):
            is_safe = box.close(keep=not done)
        if not is_safe:
            say_once(
                f"end {self.id}",
                f"the last rows of run {self.name} are lost with this process: no daemon took them,"
                f" and neither shared memory nor {self.home} had room",
            )
        release_courier(self.home)

    def _tell_config(self, changes: dict[str, Any]) -> None:
        self._put("config", config=json_text(changes, "config"))

    def _tell_summary(self, changes: dict[str, Any]) -> None:
        self._put("summary", values=json_text(changes, "summary"))

    def _put(self, kind: str, **fields: Any) -> None:
        self.put_item(msgpack.packb({"kind": kind, "time_ns": time.time_ns(), **fields}))


def _costs(sample: list[int]) -> dict[str, float | None]:
    ordered = sorted(sample)
    if not ordered:
        return {"log_p50_us": None, "log_p99_us": None, "log_max_us": None}
    at = {"p50": len(ordered) // 2, "p99": len(ordered) * 99 // 100, "max": len(ordered) - 1}
    return {f"log_{name}_us": ordered[index] / 1_000 for name, index in at.items()}
