"""The intake's process: sockets around the desk. PULL takes frames, ROUTER answers, PUB tells the sinks."""

from __future__ import annotations

import logging
import socket as network
from collections import deque
from collections.abc import Iterator
from math import ceil
from typing import Any

import zmq

from exptrack_daemon.clock import Clock
from exptrack_daemon.config import DaemonConfig
from exptrack_daemon.errors import HomeUnusable
from exptrack_daemon.files import Files
from exptrack_daemon.home import make_runtime
from exptrack_daemon.intake.desk import Desk
from exptrack_daemon.intake.fairness import FairQueue
from exptrack_daemon.intake.pieces import pieces
from exptrack_daemon.intake.recovery import (
    Recovered,
    Remains,
    find_remains,
    has_remains,
    recover,
)
from exptrack_daemon.keys import allowed, own_keys
from exptrack_daemon.lifeline import Lifeline
from exptrack_daemon.live import LiveStreams
from exptrack_daemon.sockets import ZapDoor, bind_private, listen_with_keys
from exptrack_daemon.stopping import stop_reason
from exptrack_proto.control import Ack, Hello, Stop, decode_control, encode_control
from exptrack_proto.errors import ProtocolError
from exptrack_proto.frame import Frame
from exptrack_proto.limits import MIB

logger = logging.getLogger(__name__)

FRAMES, CONTROL, FEED = "frames.sock", "control.sock", "feed.sock"
_MOST_AT_ONCE = 64
_READ_BYTES, _TURNS_S = MIB, 0.005
"""So much is read at once, and so long frames are taken until the next look at the sockets."""
_SYNC_S_PER_BYTE = 5e-9
"""What a stream is charged for the disk, beside the time that its frames took."""
_USELESS_BYTES, _READ_LATER_S = MIB // 4, 0.01
"""After so much that brought nothing new (somebody sends whatever is acknowledged) reading pauses so long."""
_PAUSE_ON_TROUBLE_S = 0.5
_IDLE_S = 0.1
_TELL_EVERY_S = 0.1
_LAST_FRAMES_S = 1.0
_ASKED_TO_STOP_EVERY_S = 1.0
_RECOVER_AGAIN_S = 5.0
_RECOVER_AGAIN_AT_MOST_S = 600.0


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
        self._queue: FairQueue[tuple[Frame, bytes]] = FairQueue()
        self._identities: dict[bytes, bytes] = {}
        self._dirty_since: float | None = None
        self._committed_at = self._told_at = float("-inf")
        self._news: dict[str, int] = {}
        """Runs with rows that the sinks were not told of yet."""
        self._paused_until = self._unread_until = float("-inf")
        self._useless_bytes = 0
        self._recover_at = self._pass_stops_at = float("-inf")
        self._remains: deque[Remains] = deque()
        self._recovering: Iterator[Recovered] | None = None
        self._recovered = Recovered()
        self._postponed: dict[bytes, tuple[float, float]] = {}
        """By stream: when recovery may be tried again, and the pause after that."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        runtime = make_runtime(config.home)
        self._pull = bind_private(self._context, zmq.PULL, runtime / FRAMES)
        self._router = bind_private(self._context, zmq.ROUTER, runtime / CONTROL)
        self._feed = bind_private(self._context, zmq.PUB, runtime / FEED)
        self._router.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._door = self._listen_beyond()
        self._poller = zmq.Poller()
        self._poller.register(self._pull, zmq.POLLIN)
        self._poller.register(self._router, zmq.POLLIN)
        if self._door is not None:
            self._poller.register(self._door.socket, zmq.POLLIN)

    def _listen_beyond(self) -> ZapDoor | None:
        """Listen on TCP as well, if that is set; never without keys."""
        ends = self._config.listen.parts()
        if ends is None:
            return None
        home = self._config.home
        pair = own_keys(home)
        if pair is None:
            raise HomeUnusable(
                f"listen.endpoint is {ends[0]}, and {home.path} has no keys: `exptrack keys new` makes them"
            )
        door = ZapDoor(self._context, lambda: allowed(home).values())
        for socket, endpoint in zip((self._pull, self._router), ends, strict=True):
            listen_with_keys(socket, endpoint, pair.public, pair.secret)
        logger.info("Listening at %s to %d allowed keys.", ends[0], len(allowed(home)))
        return door

    def serve(self, lifeline: Lifeline) -> None:
        """Take frames until the lifeline ends; then commit and leave."""
        self._close_vanished()
        while not lifeline.should_stop():
            self._pause_or_go_on()
            ready = dict(self._poller.poll(self._patience_ms()))
            if self._door is not None:
                self._door.answer()
            if self._pull in ready:
                self._read_frames()
            if self._router in ready:
                self._hear()
            self._take_frames()
            if self._is_commit_due(self._clock.monotonic_s()):
                self._commit()
            self._answer()
            self._tell_sinks(self._clock.monotonic_s())
            self._pass_stops_on(self._clock.monotonic_s())
            self._recover_some(self._clock.monotonic_s())
            lifeline.beat(self.facts)
        self._take_the_last()
        self.desk.close()
        self._dirty_since = None
        self._answer()
        lifeline.report(**self.facts())
        self.close()

    def close(self) -> None:
        """Release the sockets."""
        for socket in (self._pull, self._router, self._feed):
            socket.close(100)
        if self._door is not None:
            self._door.socket.close(0)
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
            "left": counters.left,
            "disk_trouble": self.desk.disk_trouble,
            "live": len(self.desk.live.all()),
            "asked_sinks": sorted(self.desk.asked_sinks),
            "turned_away": self._door.turned_away if self._door is not None else 0,
            "recovering": self._recovering is not None,
        }

    # --- rounds ---------------------------------------------------------------------------------

    def _pause_or_go_on(self) -> None:
        """While the disk takes nothing, frames stay where they are; trainers are answered all the same."""
        is_paused = self._clock.monotonic_s() < max(self._paused_until, self._unread_until)
        if is_paused and self._pull in self._poller:
            self._poller.unregister(self._pull)
        elif not is_paused and self._pull not in self._poller:
            self._poller.register(self._pull, zmq.POLLIN)

    def _patience_ms(self) -> int:
        now = self._clock.monotonic_s()
        is_paused = now < self._paused_until
        if (self._recovering is not None or self._queue) and not is_paused:
            return 0
        left = self._paused_until - now if is_paused else _IDLE_S
        if self._unread_until > now:
            left = min(left, self._unread_until - now)
        if self._dirty_since is not None:
            left = min(left, self._committed_at + self._config.intake.commit_after_s - now)
        if self._news:
            left = min(left, self._told_at + _TELL_EVERY_S - now)
        return ceil(max(0.0, min(left, _IDLE_S)) * 1000)

    def _read_frames(self) -> bool:
        """Put what is there into the lines of its streams; False when there is nothing more."""
        enough = self._queue.size + _READ_BYTES
        for _ in range(_MOST_AT_ONCE):
            if self._queue.size >= enough or not self._queue.has_room:
                return True
            try:
                parts = self._pull.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            if len(parts) != 1:
                self.desk.counters.rejected += 1
                continue
            frame = self.desk.read(parts[0])
            if frame is None:
                continue
            if not self._queue.put(frame.stream, (frame, parts[0]), len(parts[0])):
                self.desk.counters.left += 1
                self.desk.counters.useless_bytes += len(parts[0])
                return True  # what a trainer sends beyond its window is read slowly
        return True

    def _take_frames(self) -> None:
        """Let streams have their turns for a while; a commit does not wait for a frame that may take long."""
        now = self._clock.monotonic_s()
        until = now + _TURNS_S
        while self._queue and now < until and now >= self._paused_until:
            if self._is_commit_due(now + self._queue.next_cost):
                self._commit()
                return
            began, errors = now, self.desk.counters.disk_errors
            size = self._take_one()
            now = self._clock.monotonic_s()
            self._queue.charge(now - began + size * _SYNC_S_PER_BYTE)
            if self.desk.counters.disk_errors != errors:
                self._paused_until = now + _PAUSE_ON_TROUBLE_S
        if self.desk.counters.useless_bytes - self._useless_bytes > _USELESS_BYTES:
            self._useless_bytes = self.desk.counters.useless_bytes
            self._unread_until = now + _READ_LATER_S

    def _take_one(self) -> int:
        """Take a frame, or the first piece of a long one; returns its bytes."""
        frame, data = self._queue.take()
        rest: list[tuple[Frame, bytes]] = []
        if self.desk.is_next(frame):
            (frame, data), *rest = pieces(frame, data)
        self._queue.give_back([(piece, len(piece[1])) for piece in rest])
        self.desk.put(frame, data)
        self._note_dirt()
        return len(data)

    def _note_dirt(self) -> None:
        if self.desk.uncommitted_bytes and self._dirty_since is None:
            self._dirty_since = self._clock.monotonic_s()

    def _is_commit_due(self, now: float) -> bool:
        """A frame that comes alone is synced at once; those that come soon after a sync share the next."""
        if self._dirty_since is None:
            return False
        aged = now - self._committed_at >= self._config.intake.commit_after_s
        return aged or self.desk.is_full(self._config.intake.commit_bytes)

    def _commit(self) -> bool:
        """Commit; False when the disk refused something."""
        self._dirty_since = None
        errors = self.desk.counters.disk_errors
        self._news |= self.desk.commit()
        # From the end of this one: a slow disk gets more at once, not frame by frame.
        self._committed_at = self._clock.monotonic_s()
        if self.desk.counters.disk_errors == errors:
            return True
        self._paused_until = self._clock.monotonic_s() + _PAUSE_ON_TROUBLE_S
        return False

    def _tell_sinks(self, now: float) -> None:
        """Wake the sinks for what is new; not at every commit, since they gather for longer than that."""
        if not self._news or now - self._told_at < _TELL_EVERY_S:
            return
        self._told_at = now
        for run_id, rows in self._news.items():
            self._feed.send(f"{run_id} {rows}".encode(), zmq.NOBLOCK)
        self._news.clear()

    def _take_the_last(self) -> None:
        """What arrived before the end: the sampler's last frames, and trainers that end with us."""
        now = self._clock.monotonic_s()
        until = now + _LAST_FRAMES_S
        while self._paused_until <= now < until and (self._read_frames() or self._queue):
            self._take_frames()
            self._commit()
            now = self._clock.monotonic_s()

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
                self._note_dirt()

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
            if self.desk.is_closed(run_id, stream):
                del self._identities[stream]  # should it ask again, it says who it is
        self.desk.to_answer.clear()

    def _pass_stops_on(self, now: float) -> None:
        """Tell trainers that somebody wants them to stop; again each second, since a message may be lost."""
        if now < self._pass_stops_at:
            return
        self._pass_stops_at = now + _ASKED_TO_STOP_EVERY_S
        for live in self.desk.live.all():
            stream = bytes.fromhex(live.stream)
            identity = self._identities.get(stream)
            if identity is None:
                continue
            reason = stop_reason(self._config.home, live.run_id, live.opened_ns)
            if reason:
                self._send(identity, Stop(stream, reason))

    def _send(self, identity: bytes, message: Ack | Stop) -> None:
        try:
            self._router.send_multipart([identity, encode_control(message)], zmq.NOBLOCK)
        except zmq.Again:
            return  # it asks again

    # --- what dead trainers left ----------------------------------------------------------------

    def _recover_some(self, now: float) -> None:
        """One segment a round, so that living trainers are not kept waiting."""
        if now < self._paused_until:
            return
        if self._recovering is None and not self._next_remains(now):
            return
        assert self._recovering is not None
        remains = self._remains[0]
        try:
            done = next(self._recovering, None)
        except Exception:  # one stream's leftovers, whatever is in them, must not stop the intake
            logger.exception("What stream %s left cannot be brought in.", remains.stream.hex())
            self._recovered.is_done, done = False, None
        if done is not None:
            self._recovered = done
            return
        self._recovering = None
        self._remains.popleft()
        if self._recovered.is_done:
            self._postponed.pop(remains.stream, None)
        else:
            self._postpone(remains.stream, now)

    def _next_remains(self, now: float) -> bool:
        """Begin with the next dead stream, if there is one."""
        if not self._remains:
            if now < self._recover_at:
                return False
            self._recover_at = now + self._config.intake.recover_every_s
            self._remains.extend(
                remains
                for remains in find_remains(self._config.home)
                if self._postponed.get(remains.stream, (now, 0.0))[0] <= now
            )
        if not self._remains:
            return False
        self._recovered = Recovered()
        self._recovering = recover(self.desk, self._remains[0], self._commit)
        return True

    def _postpone(self, stream: bytes, now: float) -> None:
        """It stays where it is; the next try comes after a longer pause each time."""
        _, pause = self._postponed.get(stream, (now, _RECOVER_AGAIN_S))
        self._postponed[stream] = (now + pause, min(2 * pause, _RECOVER_AGAIN_AT_MOST_S))

    def _close_vanished(self) -> None:
        """Streams that were open when the machine went down left no black box: close them."""
        host = network.gethostname()
        for live in self.desk.live.all():
            if live.host == host and not has_remains(self._config.home, live.stream):
                self.desk.close_crashed(live.run_id, bytes.fromhex(live.stream))
        self._commit()
