"""The sampler's loop: read node, GPUs and training processes; send a row to every run that is live here."""

from __future__ import annotations

import contextlib
import logging
import socket as network
from typing import Any

import zmq

from exptrack_daemon.clock import Clock
from exptrack_daemon.config import DaemonConfig
from exptrack_daemon.files import Files
from exptrack_daemon.lifeline import Lifeline
from exptrack_daemon.live import LiveStream, read_live
from exptrack_daemon.sampler.host import HostSampler, ProcessSampler, Values
from exptrack_daemon.sampler.nvidia import NvidiaSampler
from exptrack_daemon.sampler.stream import SampleStream
from exptrack_daemon.sockets import bound
from exptrack_proto.control import Ack, decode_control, encode_control
from exptrack_proto.errors import ProtocolError

logger = logging.getLogger(__name__)

_FRAMES, _CONTROL = "frames.sock", "control.sock"
_ASK_EVERY_S = 0.4
_MOST_ENDING = 256


class Sampler:
    """Samples until asked to stop."""

    def __init__(self, config: DaemonConfig, files: Files, clock: Clock) -> None:
        self._config = config
        self._files = files
        self._clock = clock
        self._host = HostSampler()
        self._processes = ProcessSampler()
        self._gpus = NvidiaSampler()
        self._streams: dict[str, SampleStream] = {}
        self._ending: list[SampleStream] = []
        """Streams of runs that have ended, until all of them is durable."""
        self._asked_at = float("-inf")
        self._samples = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._push: zmq.Socket[bytes] = self._context.socket(zmq.PUSH)
        self._dealer: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        for socket, name in ((self._push, _FRAMES), (self._dealer, _CONTROL)):
            bound(socket)
            socket.setsockopt(zmq.IMMEDIATE, 1)
            socket.connect(f"ipc://{config.home.runtime / name}")

    def serve(self, lifeline: Lifeline) -> None:
        """Sample until the lifeline ends."""
        sample_at = self._clock.monotonic_s()
        while not lifeline.should_stop():
            now = self._clock.monotonic_s()
            if now >= sample_at:
                sample_at = now + self._config.sampler.every_s
                self._sample(now)
            self._send(now)
            self._dealer.poll(min(500, max(1, round((sample_at - now) * 1000))))
            self._listen()
            lifeline.beat(self._facts)
        for run_id in list(self._streams):
            self._end(run_id)
        self._send(self._clock.monotonic_s())
        self.close()

    def close(self) -> None:
        """Release the sockets; what was handed to them may still leave."""
        self._push.close(200)
        self._dealer.close(200)
        self._context.term()

    def _facts(self) -> dict[str, Any]:
        return {"runs": len(self._streams), "samples": self._samples, "gpus": self._gpus.count}

    def _sample(self, now: float) -> None:
        host = network.gethostname()
        live = [
            stream
            for stream in read_live(self._files, self._config.home.live)
            if stream.host == host
        ]
        by_run: dict[str, list[LiveStream]] = {}
        for stream in live:
            by_run.setdefault(stream.run_id, []).append(stream)
        for run_id in list(self._streams):
            if run_id not in by_run:
                self._end(run_id)
        if not by_run:
            return
        node: Values = {**self._host.read(now), **self._gpus.read()}
        self._processes.look()
        for run_id, trainers in by_run.items():
            self._sample_run(run_id, trainers, node)

    def _sample_run(self, run_id: str, trainers: list[LiveStream], node: Values) -> None:
        now_ns = self._clock.now_ns()
        stream = self._streams.get(run_id)
        if stream is None:
            # Samples of an earlier sampler (a restarted daemon) came first: go on after their steps.
            opened_ns = min(trainer.opened_ns for trainer in trainers)
            first_step = max(0, int((now_ns - opened_ns) / 1e9 / self._config.sampler.every_s))
            stream = self._streams[run_id] = SampleStream(run_id, now_ns, first_step)
        values: dict[str, Any] = dict(node)
        for trainer in trainers:
            values |= self._processes.read(trainer.pid, f"system/process/rank_{trainer.rank}")
        stream.sample(values, now_ns)
        self._samples += 1

    def _end(self, run_id: str) -> None:
        """Close the run's stream; it leaves once all of it is durable."""
        stream = self._streams.pop(run_id)
        stream.close(self._clock.now_ns())
        self._ending.append(stream)
        del self._ending[:-_MOST_ENDING]

    def _send(self, now: float) -> None:
        """Send what waits. The intake is asked only when something is in doubt, and not all the time."""
        is_time = now - self._asked_at >= _ASK_EVERY_S
        if is_time:
            self._asked_at = now
        for stream in (*self._streams.values(), *self._ending):
            is_new = bool(stream.unsent)
            self._send_frames(stream)
            if is_new or (is_time and not stream.is_done):
                self._ask(stream)

    def _send_frames(self, stream: SampleStream) -> None:
        """What cannot go now stays; what went is kept until it is durable."""
        try:
            while (frame := stream.next_frame()) is not None:
                self._push.send(frame, zmq.NOBLOCK)
                stream.went(self._clock.monotonic_s())
        except zmq.Again:
            return

    def _ask(self, stream: SampleStream) -> None:
        with contextlib.suppress(zmq.Again):
            self._dealer.send(encode_control(stream.hello()), zmq.NOBLOCK)

    def _listen(self) -> None:
        by_stream = {stream.stream: stream for stream in (*self._streams.values(), *self._ending)}
        while True:
            try:
                message = decode_control(self._dealer.recv(zmq.NOBLOCK))
            except zmq.Again:
                break
            except ProtocolError as error:
                logger.warning("The intake said something unreadable: %s.", error)
                continue
            stream = by_stream.get(message.stream)
            if stream is not None and isinstance(message, Ack):
                stream.heard(message.boot, message.next, self._clock.monotonic_s())
        self._ending = [stream for stream in self._ending if not stream.is_done]
