"""The courier: the one thread that takes items from black boxes to the daemon, and hears what is durable.

Frames go out over PUSH and may be lost on the way (ZeroMQ drops what sits in a dead peer's pipe); what is
durable is heard over a DEALER. An item stays in its box until it is acknowledged, so everything that is in
doubt is simply sent again, and the daemon knows by stream and sequence what it already has.

`Lane` decides (pure: no sockets, no clock); `Courier` acts. Each round holds the GIL for well under 1 ms.

Lock order: a courier's mutex, then a run's lock, then a lane's progress. Training never takes the mutex but
in `init` and `finish`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
from collections import deque
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exptrack_agent import launch, notices
from exptrack_agent.blackbox import SpanGone
from exptrack_agent.notices import say_once
from exptrack_agent.pace import Pace
from exptrack_proto.control import Ack, Hello, Stop, decode_control, encode_control
from exptrack_proto.errors import ProtocolError
from exptrack_proto.limits import FORMAT_VERSION, MIB

if TYPE_CHECKING:
    from exptrack_agent.blackbox import BlackBox, Span
    from exptrack_agent.rows import RowLog
    from exptrack_agent.settings import Remote
    from exptrack_agent.wire import Wire

WINDOW_BYTES = 4 * MIB
"""Most that is under way to the daemon and not acknowledged."""
ASK_AFTER_S = 0.25
IDLE_ASK_S = 5.0
RESEND_AFTER_S = 1.0
MOST_RESEND_S = 8.0
SILENCE_S = 2.0
"""A daemon that was not heard for so long counts as away: rows go to the spool."""
SPOOL_EVERY_S = 1.0
REVIVE_AFTER_S = 2.0
MOST_REVIVE_S = 120.0
_PAUSE_S = 1.0


class Lane:
    """One stream on its way: what is to be sent, what is under way, what is done."""

    def __init__(self, run: RowLog, box: BlackBox, now: float) -> None:
        self.run = run
        self.box = box
        self.to_send: deque[Span] = deque()
        self.under_way: deque[Span] = deque()
        self.acknowledged = 0
        """All items before this sequence are durable, or stand in the ledger."""
        self.delivered = 0
        """Items that are durable."""
        self.progress = threading.Condition()
        self._boot = ""
        self._gone_before = 0
        self._waiting_since = now
        self._bytes_under_way = 0
        self._heard_at = float("-inf")
        self._asked_at = float("-inf")
        self._moved_at = float("-inf")
        self._resend_after_s = RESEND_AFTER_S

    @property
    def first(self) -> int:
        """The first sequence that can still be sent, or that an entry of the ledger will account for."""
        spans = self.under_way or self.to_send
        return spans[0].since if spans else max(self.acknowledged, self._gone_before)

    @property
    def is_empty(self) -> bool:
        """Nothing waits to be sent or acknowledged."""
        return not self.to_send and not self.under_way

    def collect(self, now: float) -> int:
        """Take what was logged since the last round; returns how many bytes that is."""
        self.run.land()
        self.run.close_rows()
        size = 0
        if self.box.spans and self.is_empty:
            self._waiting_since = now
        for span in self.box.take():
            self.to_send.append(span)
            size += span.size
        return size

    def next_span(self) -> Span | None:
        """The span to send now, if the window has room for it."""
        if not self.to_send or self._bytes_under_way > WINDOW_BYTES:
            return None
        return self.to_send[0]

    def sent(self, now: float) -> None:
        """The span that `next_span` gave is under way."""
        span = self.to_send.popleft()
        if not self.under_way:
            self._moved_at = now
        self.under_way.append(span)
        self._bytes_under_way += span.size

    def give_up(self) -> Span:
        """The span that `next_span` gave does not exist any more: it is lost, and the daemon shall know."""
        span = self.to_send.popleft()
        with self.run.lock:
            self.box.acknowledge(span)
            self.run.dropped += span.items
        self._gone_before = span.end
        self._asked_at = float("-inf")
        return span

    def heard(self, ack: Ack, now: float) -> None:
        """The daemon said how far it is."""
        self._heard_at = now
        moved = self._release(ack.next)
        if moved:
            self._moved_at = now
            self._resend_after_s = RESEND_AFTER_S
        elif (
            ack.boot == self._boot
            and self.under_way
            and now - self._moved_at > self._resend_after_s
        ):
            self._resend(now)
            self._resend_after_s = min(2 * self._resend_after_s, MOST_RESEND_S)
        if ack.boot != self._boot:
            is_another = self._boot != ""
            self._boot = ack.boot
            if is_another:
                self._resend(now)

    def must_ask(self, now: float) -> bool:
        """Whether it is time to ask the daemon how far it is."""
        quiet = now - max(self._heard_at, self._asked_at)
        return quiet > (ASK_AFTER_S if self.under_way or self._boot == "" else IDLE_ASK_S)

    def asked(self, now: float) -> None:
        """The question is on its way."""
        self._asked_at = now

    def is_cut_off(self, now: float) -> bool:
        """Items wait, and the daemon was not heard for a while."""
        return not self.is_empty and now - max(self._heard_at, self._waiting_since) > SILENCE_S

    def _release(self, sequence: int) -> bool:
        done: list[Span] = []
        while self.under_way and self.under_way[0].end <= sequence:
            done.append(self.under_way.popleft())
        if not self.under_way:  # a new daemon may hold what an earlier one never confirmed
            while self.to_send and self.to_send[0].end <= sequence:
                done.append(self.to_send.popleft())
        if not done:
            return False
        with self.run.lock:
            for span in done:
                self.box.acknowledge(span)
        self._bytes_under_way = sum(span.size for span in self.under_way)
        self.box.give_back()
        with self.progress:
            self.delivered += sum(span.items for span in done)
            self.acknowledged = done[-1].end
            self.progress.notify_all()
        return True

    def _resend(self, now: float) -> None:
        self.to_send.extendleft(reversed(self.under_way))
        self.under_way.clear()
        self._bytes_under_way = 0
        self._moved_at = now


class Bell:
    """Wakes a thread that waits for sockets; `ring` may be called from any thread, at any time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.reader = self._writer = -1
        with contextlib.suppress(OSError):  # no descriptors left: it is just not heard
            self.reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ring(self) -> None:
        """End the wait, or the next one."""
        with self._lock, contextlib.suppress(OSError):
            os.write(self._writer, b"!")

    def wait(self, timeout_s: float) -> bool:
        """Until somebody rings, at most so long; whether somebody did."""
        poll = select.poll()
        if self.reader >= 0:
            poll.register(self.reader, select.POLLIN)
        return bool(poll.poll(ceil(timeout_s * 1000)))

    def hush(self) -> None:
        """Forget that it was rung."""
        with contextlib.suppress(OSError):
            os.read(self.reader, 4_096)

    def close(self) -> None:
        """Give the descriptors back."""
        with self._lock:
            for descriptor in (self.reader, self._writer):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            self.reader = self._writer = -1


class Courier:
    """Carries the lanes of one process to the daemon of one home."""

    def __init__(self, home: Path) -> None:
        """Start the thread.

        Raises:
            RuntimeError: the system gives no further thread.
        """
        self.home = home
        self.remote: Remote | None = None
        """Where the daemon is, when not on this machine; set before the first lane is added."""
        self.mutex = threading.Lock()
        """Held during a round; hold it to add or remove a lane."""
        self._lanes: dict[bytes, Lane] = {}
        self._offline: set[bytes] = set()
        self._wire: Wire | None = None
        self._beacon: dict[str, Any] = {}
        self._beacon_at = float("-inf")
        self._spooled_at = 0.0
        self._pace = Pace()
        self._keeps_daemon = False
        self._revive_at = self._revive_pause_s = 0.0
        self._bell = Bell()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="exptrack-courier", daemon=True)
        self._thread.start()

    def add(self, lane: Lane, *, offline: bool) -> None:
        """Begin to carry a lane. Offline: only to the spool."""
        with self.mutex:
            self._lanes[lane.box.stream] = lane
            if offline:
                self._offline.add(lane.box.stream)
        self._bell.ring()

    def keep_daemon(self) -> None:
        """Start the home's daemon now if none runs, and again whenever it dies; not after it was stopped."""
        self._keeps_daemon = True
        launch.ensure_daemon(self.home)

    def hurry(self) -> None:
        """Somebody waits: begin the next round now."""
        self._bell.ring()

    def remove(self, lane: Lane, timeout_s: float = 5.0) -> bool | None:
        """Stop carrying a lane; True when all of it was acknowledged. The box is the caller's again.

        Returns:
            None: a round hangs, as it does on a disk that does not answer; the box stays the courier's.
        """
        if not self.mutex.acquire(timeout=timeout_s):
            return None
        try:
            self._lanes.pop(lane.box.stream, None)
            self._offline.discard(lane.box.stream)
            lane.collect(time.monotonic())
            return lane.is_empty
        finally:
            self.mutex.release()

    @property
    def is_idle(self) -> bool:
        """Whether it carries nothing."""
        return not self._lanes

    def stop(self) -> None:
        """End the thread and close the sockets."""
        self._stop.set()
        self._bell.ring()
        self._thread.join(timeout=2)

    # --- the thread -----------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                is_due = self._wait()
                with self.mutex:
                    if is_due:
                        self._round(time.monotonic())
                    else:
                        self._catch_up(time.monotonic())
            except Exception as error:  # noqa: BLE001  # the thread's top: it must outlive any fault
                say_once(
                    f"courier {type(error).__name__}", f"sending paused for a second: {error!r}"
                )
                self._disconnect()
                self._stop.wait(_PAUSE_S)
        self._disconnect()
        self._bell.close()

    def _wait(self) -> bool:
        """Until a round is due, or somebody waits for one; False: only the daemon said something."""
        left_s = self._pace.due_at - time.monotonic()
        if left_s <= 0:
            return True
        is_rung = self._bell.wait(left_s) if self._wire is None else self._wire.wait(left_s)
        if is_rung:
            self._bell.hush()
        return is_rung or time.monotonic() >= self._pace.due_at

    def _round(self, now: float) -> None:
        self._listen(now)
        wants_daemon = any(stream not in self._offline for stream in self._lanes)
        if wants_daemon and self._wire is None:
            self._find_daemon(now)
        size = 0
        for stream, lane in self._lanes.items():
            size += lane.collect(now)
            lane.box.refill()
            if stream not in self._offline:
                self._carry(lane, now)
            self._sample_cost(lane)
        self._pace.round_began(now, size)
        if now - self._spooled_at > SPOOL_EVERY_S:
            self._spooled_at = now
            self._spool(now)
            launch.reap()
            if self._keeps_daemon:
                self._revive_daemon(now)

    def _catch_up(self, now: float) -> None:
        """Between two rounds: hear what is durable, and send what the window had no room for."""
        self._listen(now)
        for stream, lane in self._lanes.items():
            if lane.to_send and stream not in self._offline:
                self._carry(lane, now)

    def _carry(self, lane: Lane, now: float) -> None:
        if self._wire is None:
            return
        box = lane.box
        if lane.must_ask(now):
            hello = Hello(box.stream, box.run_id, lane.first, lane.run.sequence)
            if self._wire.ask(encode_control(hello)):
                lane.asked(now)
            if lane.is_cut_off(now):
                self._say_silent()
                self._find_daemon(now)  # a new one may have taken its place elsewhere
        while (span := lane.next_span()) is not None:
            try:
                frame = span.frame(box.run_id, box.stream)
            except SpanGone as error:
                gone = lane.give_up()
                say_once("gone", f"{gone.items} rows are lost: {error} (the run's ledger has them)")
                continue
            if not self._wire.send_frame(frame):
                return
            lane.sent(now)

    def _listen(self, now: float) -> None:
        while self._wire is not None and (data := self._wire.hear()) is not None:
            try:
                message = decode_control(data)
            except ProtocolError as error:
                say_once(
                    "control", f"the daemon said something that this version cannot read: {error}"
                )
                continue
            lane = self._lanes.get(message.stream)
            if lane is None:
                continue
            if isinstance(message, Ack):
                lane.heard(message, now)
                if message.notice:
                    say_once(f"notice {message.notice}", message.notice)
            elif isinstance(message, Stop):
                lane.run.stop_requested = message.reason

    def _spool(self, now: float) -> None:
        for stream, lane in self._lanes.items():
            if stream in self._offline or lane.is_cut_off(now):
                lane.box.spool()
                if lane.box.state.spool_refused:
                    say_once(
                        f"spool {lane.box.state.spool_refused}",
                        f"rows stay in memory, since the spool in {self.home} cannot take them:"
                        f" {lane.box.state.spool_refused}",
                    )

    def _revive_daemon(self, now: float) -> None:
        """Start a daemon in place of one that died; more and more seldom when that does not help."""
        lanes = [lane for stream, lane in self._lanes.items() if stream not in self._offline]
        if not any(lane.is_cut_off(now) for lane in lanes):
            self._revive_at, self._revive_pause_s = now, REVIVE_AFTER_S
        elif now - self._revive_at > self._revive_pause_s and launch.daemon_died(self.home):
            self._revive_at = now
            self._revive_pause_s = min(2 * self._revive_pause_s, MOST_REVIVE_S)
            say_once("revive", "the daemon died, and another one is started; no row is lost")
            launch.ensure_daemon(self.home)

    @staticmethod
    def _sample_cost(lane: Lane) -> None:
        """Let the next `log()` call go through the timed way (an instance attribute hides the method)."""
        lane.run.__dict__.setdefault("log", lane.run.log_timed)

    # --- the connection -------------------------------------------------------------------------

    def _find_daemon(self, now: float) -> None:
        if now - self._beacon_at < ASK_AFTER_S:
            return
        self._beacon_at = now
        beacon = read_beacon(self.home) if self.remote is None else _beacon_of(self.remote)
        if beacon is None or beacon == self._beacon:
            return
        if beacon.get("format") != FORMAT_VERSION:
            say_once(
                "daemon version",
                f"the daemon of {self.home} speaks format {beacon.get('format')}, this agent"
                f" {FORMAT_VERSION}: rows go to the spool; restart the daemon from this installation",
            )
            return
        self._disconnect()
        with notices.importing:
            from exptrack_agent.wire import (
                Wire,
            )  # here, on this thread: ZeroMQ takes 20 ms to import

        self._wire = Wire(beacon["frames"], beacon["control"], self._bell.reader, self.remote)
        self._beacon = beacon

    def _say_silent(self) -> None:
        if self.remote is not None:
            say_once(
                f"silent {self.remote.frames}",
                f"the daemon at {self.remote.frames} does not answer (is it up, and does it allow this"
                f" home's key {self.remote.public}?); rows are kept in {self.home}/spool meanwhile",
            )

    def _disconnect(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None
        self._beacon = {}


def _beacon_of(remote: Remote) -> dict[str, Any]:
    return {"format": FORMAT_VERSION, "frames": remote.frames, "control": remote.control}


def read_beacon(home: Path) -> dict[str, Any] | None:
    """Where the home's daemon listens, as it wrote it; None when there is none or it cannot be read."""
    try:
        beacon = json.loads((home / launch.BEACON).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(beacon, dict):
        return None
    endpoints = (beacon.get("frames"), beacon.get("control"))
    if not all(isinstance(name, str) and name.startswith(_TRANSPORTS) for name in endpoints):
        return None
    return beacon


_TRANSPORTS = ("ipc://", "tcp://")


_couriers: dict[Path, Courier] = {}
_couriers_lock = threading.Lock()


def courier_for(home: Path) -> Courier:
    """The one courier of this process for a home.

    Raises:
        RuntimeError: it needs a thread, and the system gives none.
    """
    with _couriers_lock:
        courier = _couriers.get(home)
        if courier is None:
            courier = _couriers[home] = Courier(home)
        return courier


def release_courier(home: Path) -> None:
    """End the home's courier if it carries nothing."""
    with _couriers_lock:
        courier = _couriers.get(home)
        if courier is not None and courier.is_idle:
            del _couriers[home]
            courier.stop()


def after_fork_in_child() -> None:
    """The threads did not come along; a child that calls `init` gets a courier of its own."""
    global _couriers_lock  # noqa: PLW0603  # another thread may have held it at the fork
    _couriers_lock = threading.Lock()
    _forgotten.extend(_couriers.values())  # never finalised: their sockets belong to the parent
    _couriers.clear()


_forgotten: list[Courier] = []
