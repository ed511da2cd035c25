"""A run as training code sees it: `init`, then `log`, and `finish` when it suits."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgpack

from exptrack_agent.blackbox import BlackBox
from exptrack_agent.courier import Courier, Lane, release_courier
from exptrack_agent.launch import daemon_is_running
from exptrack_agent.notices import say_once
from exptrack_agent.rows import RowLog
from exptrack_agent.settings import Mode
from exptrack_agent.values import IsMedia, NotScalar, clean_text, coerce_scalar, fit
from exptrack_proto.frame import Kind
from exptrack_proto.limits import MAX_JSON_BYTES

_POLL_S = 0.02


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

    def __init__(self, run: RowLog, tell: Callable[[dict[str, Any]], None]) -> None:
        super().__init__({}, tell)
        self._run = run

    def _all(self) -> dict[str, Any]:
        return {**self._run.last_values(), **self._values}

    def __getitem__(self, key: str) -> Any:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class Run(RowLog):
    """One run (or this rank's part of one). Made by `exptrack_agent.init`.

    Attributes:
        id: stable identity, also across restarts of the same run.
        name: what people see.
        project: what the run belongs to.
        config: hyperparameters; a change is recorded.
        summary: the last value of each metric; a key that is set stays as set.
    """

    def __init__(self, opening: Opening, box: BlackBox | None) -> None:
        super().__init__(box, strict=opening.strict)
        self.id = opening.run_id
        self.name = opening.name
        self.project = opening.project
        self.home = opening.home
        self.mode: Mode = opening.mode
        self.config = Recorded(opening.config, self._tell_config)
        self.summary = Summary(self, self._tell_summary)
        self._courier: Courier | None = None
        self._lane: Lane | None = None
        self._began_ns = time.time_ns()
        self._finished = box is None
        self._finish_lock = threading.Lock()
        if box is not None:
            record = {**opening.record, "config": json_text(opening.config, "config")}
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
        if lane is None or self.mode != "online":
            return False
        target = self.sequence
        deadline = time.monotonic() + timeout_s
        patience = time.monotonic() + min(timeout_s, 2.0)
        with lane.progress:
            while lane.acknowledged < target:
                now = time.monotonic()
                if now >= deadline:
                    return False
                if now > patience and not daemon_is_running(self.home):
                    return False
                lane.progress.wait(_POLL_S)
        return True

    def finish(self, exit_code: int = 0, timeout_s: float = 5) -> None:
        """End the run. Sinks may still be busy; that is the daemon's business.

        Args:
            exit_code: 0: the run is `finished`; anything else: `failed`.
            timeout_s: how long to wait for the last rows to be durable. What is not by then stays in the
                black box, and the daemon, or `exptrack recover`, takes it from there.
        """
        with self._finish_lock:
            if self._finished:
                return
            self._finished = True
        status = "finished" if exit_code == 0 else "failed"
        close = {
            "kind": "close",
            "time_ns": time.time_ns(),
            "status": status,
            "exit_code": exit_code,
        }
        self.put_item(msgpack.packb(close), Kind.CLOSE)
        if daemon_is_running(self.home):
            self.flush(timeout_s)
        self._let_go()

    def stats(self) -> dict[str, Any]:
        """What became of the rows, and what `log()` cost.

        Returns:
            `rows` logged; `acked` and `pending` items (rows, media, open and close); `dropped` items and
            `refused` values; `bytes` in memory, `spooled` bytes on disk; `log_p50_us`, `log_p99_us` and
            `log_max_us` over a sample of calls (None before the first).
        """
        acked = self._lane.acknowledged if self._lane is not None else 0
        state = self._box.state if self._box is not None else None
        return {
            "rows": self.rows,
            "acked": acked,
            "pending": self.sequence - acked - self.dropped,
            "dropped": self.dropped,
            "refused": self.refused,
            "bytes": state.memory_bytes if state else 0,
            "spooled": state.spooled_bytes if state else 0,
            **_costs(self.costs_ns),
        }

    def log_hparams(
        self, hparams: Mapping[str, Any], metrics: Mapping[str, Any] | None = None
    ) -> None:
        """Record hyperparameters and the metrics they led to, for TensorBoard's HParams page and others."""
        self._put(
            "hparams",
            hparams=json_text(dict(hparams), "hparams"),
            metrics=json_text(dict(metrics or {}), "metrics"),
        )

    def alert(self, title: str, text: str = "", level: str = "warning") -> None:
        """Record something that a person should see.

        Raises:
            Misuse: `level` is not "info", "warning" or "error" (strict mode; else "warning" is used).
        """
        if level not in ("info", "warning", "error"):
            self._refuse(
                "alert", f'an alert\'s level is "info", "warning" or "error", not {level!r}'
            )
            level = "warning"
        self._put(
            "alert", title=clean_text(title)[:1_000], text=clean_text(text)[:100_000], level=level
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish(exit_code=0 if kind is None or _is_clean_exit(error) else 1)

    def __repr__(self) -> str:
        return f"<exptrack run {self.name!r} ({self.id}), {self.mode}, {self.rows} rows>"

    # --- inside ---------------------------------------------------------------------------------

    def silence(self) -> None:
        """Forget everything, in a forked child: box, courier and lock belong to the parent."""
        self.lock = threading.RLock()
        self._finish_lock = threading.Lock()
        self._box = self._lane = self._courier = None
        self._limit = -1
        self._finished = True

    def _let_go(self) -> None:
        """Give the box back: emptied if all is acknowledged, else for the daemon to recover."""
        with self.lock:
            box, self._box = self._box, None
            self._limit = -1
        lane, courier = self._lane, self._courier
        done = courier.remove(lane) if courier is not None and lane is not None else False
        if box is not None:
            with contextlib.suppress(OSError):
                box.close(keep=not done)
        release_courier(self.home)

    def _tell_config(self, changes: dict[str, Any]) -> None:
        self._put("config", config=json_text(changes, "config"))

    def _tell_summary(self, changes: dict[str, Any]) -> None:
        self._put("summary", values=json_text(changes, "summary"))

    def _put(self, kind: str, **fields: Any) -> None:
        self.put_item(msgpack.packb({"kind": kind, "time_ns": time.time_ns(), **fields}))


def _is_clean_exit(error: BaseException | None) -> bool:
    return isinstance(error, SystemExit) and error.code in (None, 0)


def _costs(sample: list[int]) -> dict[str, float | None]:
    ordered = sorted(sample)
    if not ordered:
        return {"log_p50_us": None, "log_p99_us": None, "log_max_us": None}
    at = {"p50": len(ordered) // 2, "p99": len(ordered) * 99 // 100, "max": len(ordered) - 1}
    return {f"log_{name}_us": ordered[index] / 1_000 for name, index in at.items()}


# --- values that travel as JSON -----------------------------------------------------------------


def json_text(values: Mapping[str, Any], what: str) -> str:
    """A JSON text of anything: what JSON does not know becomes a number or its `str`."""
    text = json.dumps(_plain(values, 0))
    if len(text) <= MAX_JSON_BYTES:
        return text
    say_once(
        f"{what} size",
        f"the {what} is larger than {MAX_JSON_BYTES:,} bytes of JSON; long values were cut",
    )
    return _cut_to_fit(values)


def _cut_to_fit(values: Mapping[str, Any]) -> str:
    kept: dict[str, Any] = {}
    room = MAX_JSON_BYTES - 2
    for key, value in values.items():
        plain = _plain(value, 1)
        entry = json.dumps({str(key): plain})
        if len(entry) > 4_096:
            plain = f"(cut) {str(value)[:200]}"
            entry = json.dumps({str(key): plain})
        room -= len(entry)
        if room < 0:
            break
        kept[clean_text(str(key))] = plain
    return json.dumps(kept)


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return clean_text(value)
    if depth > 32:
        return clean_text(str(value))[:1_000]
    if isinstance(value, Mapping):
        return {clean_text(str(key)): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    return _one_number(value)


def _one_number(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {name: _plain(getattr(value, name), 1) for name in value.__dataclass_fields__}
    try:
        return fit(coerce_scalar(value))
    except (IsMedia, NotScalar):
        return clean_text(str(value))
    except Exception:  # noqa: BLE001  # a value's own code may raise anything
        return f"({type(value).__name__})"
