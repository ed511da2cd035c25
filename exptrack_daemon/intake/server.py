"""The intake's process: sockets around the desk. PULL takes frames, ROUTER answers, PUB tells the sinks."""

from __future__ import annotations

import logging
import socket as network
from collections.abc import Iterator
from typing import Any

import zmq

from exptrack_daemon.clock import Clock
from exptrack_daemon.config import DaemonConfig
from exptrack_daemon.files import Files
from exptrack_daemon.intake.desk import Desk
from exptrack_daemon.intake.live import LiveStreams
from exptrack_daemon.intake.recovery import Recovered, find_remains, has_remains, recover
from exptrack_daemon.lifeline import Lifeline
from exptrack_daemon.sockets import bind_private
from exptrack_proto.control import Ack, Hello, Stop, decode_control, encode_control
from exptrack_proto.errors import ProtocolError

logger = logging.getLogger(__name__)

FRAMES, CONTROL, FEED = "frames.sock", "control.sock", "feed.sock"
_MOST_AT_ONCE = 64
_PAUSE_ON_TROUBLE_S = 0.5


class IntakeServer:
    """Runs the desk until asked to stop."""

    def __init__(self, config: DaemonConfig, files: Files, clock: Clock, boot: str) -> None:
        self._config = config
        self._clock = clock
        self._boot = boot
        self.desk = Desk(
            home=config.home,
            files=files,
            clock=clock,
            config=config.journal,
            live=LiveStreams(files, config.home.live),
        )
        self._identities: dict[bytes, bytes] = {}
        self._dirty_since: float | None = None
        self._paused_until = 0.0
        self._recover_at = 0.0
        self._recovering: Iterator[Recovered] | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        runtime = config.home.runtime
        self._pull = bind_private(self._context, zmq.PULL, runtime / FRAMES)
        self._router = bind_private(self._context, zmq.ROUTER, runtime / CONTROL)
        self._feed = bind_private(self._context, zmq.PUB, runtime / FEED)
        self._router.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._poller = zmq.Poller()
        self._poller.register(self._pull, zmq.POLLIN)
        self._poller.register(self._router, zmq.POLLIN)

    def serve(self, lifeline: Lifeline) -> None:
        """Take frames until the lifeline ends; then commit and leave."""
        self._close_vanished()
        while not lifeline.should_stop():
            ready = dict(self._poller.poll(self._patience_ms()))
            now = self._clock.monotonic_s()
            if self._pull in ready and now >= self._paused_until:
                self._take_frames()
            if self._router in ready:
                self._hear()
            if self._is_commit_due(now):
                self._commit(now)
            self._answer()
            self._recover_some(now)
            lifeline.beat(**self.facts())
        self.desk.close()
        self._answer()
        lifeline.report(**self.facts())
        for socket in (self._pull, self._router, self._feed):
            socket.close(100)
        self._context.term()

    def facts(self) -> dict[str, Any]:
        """What the supervisor shows."""
        counters = self.desk.counters
        return {
            "frames": counters.frames,
            "rows": counters.rows,
            "points": counters.points,
            "bytes": counters.bytes,
            "rejected": counters.rejected,
            "seen_before": counters.seen_before,
            "out_of_order": counters.out_of_order,
            "disk_trouble": self.desk.disk_trouble,
            "live": len(self.desk.live.all()),
            "asked_sinks": sorted(self.desk.asked_sinks),
            "recovering": self._recovering is not None,
        }

    # --- rounds ---------------------------------------------------------------------------------

    def _patience_ms(self) -> int:
        if self._recovering is not None:
            return 0
        if self._dirty_since is None:
            return 100
        left = self._dirty_since + self._config.intake.commit_after_s - self._clock.monotonic_s()
        return max(0, round(left * 1000))

    def _take_frames(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                parts = self._pull.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            if len(parts) != 1:
                self.desk.counters.rejected += 1
                continue
            self.desk.take(parts[0])
        if self.desk.uncommitted_bytes and self._dirty_since is None:
            self._dirty_since = self._clock.monotonic_s()
        if self.desk.disk_trouble:
            self._paused_until = self._clock.monotonic_s() + _PAUSE_ON_TROUBLE_S

    def _is_commit_due(self, now: float) -> bool:
        if self._dirty_since is None:
            return False
        aged = now - self._dirty_since >= self._config.intake.commit_after_s
        return aged or self.desk.uncommitted_bytes >= self._config.intake.commit_bytes

    def _commit(self, now: float) -> None:
        self._dirty_since = None
        for run_id in self.desk.commit():
            rows = self.desk.journal(run_id).position.rows
            self._feed.send(f"{run_id} {rows}".encode(), zmq.NOBLOCK)
        if self.desk.disk_trouble:
            self._paused_until = now + _PAUSE_ON_TROUBLE_S

    def _hear(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                parts = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = decode_control(parts[-1]) if len(parts) == 2 else None
            except ProtocolError as error:
                self.desk.counters.rejected += 1
                logger.warning("A control message was refused: %s.", error)
                continue
            if isinstance(message, Hello):
                self._identities[message.stream] = parts[0]
                self.desk.resync(message.run_id, message.stream, message.first)
                self.desk.to_answer.add((message.run_id, message.stream))
                if self.desk.uncommitted_bytes and self._dirty_since is None:
                    self._dirty_since = self._clock.monotonic_s()

    def _answer(self) -> None:
        """Tell trainers how far their streams are durable; with frames in doubt, after the commit."""
        if self._dirty_since is not None:
            return
        for run_id, stream in self.desk.to_answer:
            identity = self._identities.get(stream)
            if identity is None:
                continue
            notice = self.desk.notices.pop(stream, "")
            self._send(identity, Ack(self._boot, stream, self.desk.durable(run_id, stream), notice))
        self.desk.to_answer.clear()

    def _send(self, identity: bytes, message: Ack | Stop) -> None:
        try:
            self._router.send_multipart([identity, encode_control(message)], zmq.NOBLOCK)
        except zmq.Again:
            return  # it asks again

    # --- what dead trainers left ----------------------------------------------------------------

    def _recover_some(self, now: float) -> None:
        """One segment a round, so that living trainers are not kept waiting."""
        if self._recovering is not None:
            if next(self._recovering, None) is None:
                self._recovering = None
            return
        if now < self._recover_at or self.desk.disk_trouble:
            return
        self._recover_at = now + self._config.intake.recover_every_s
        remains = find_remains(self._config.home)
        if remains:
            self._recovering = recover(self.desk, remains[0])
            self._recover_at = now  # look for the next as soon as this one is done

    def _close_vanished(self) -> None:
        """Streams that were open when the machine went down left no black box: close them."""
        host = network.gethostname()
        for live in self.desk.live.all():
            if live.host == host and not has_remains(self._config.home, live.stream):
                self.desk.close_crashed(live.run_id, bytes.fromhex(live.stream))
        self.desk.commit()
