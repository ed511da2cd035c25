"""The process of one sink: all runs that go there, in turn, each at its own pace."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import zmq

from exptrack_daemon.clock import Clock
from exptrack_daemon.config import DaemonConfig
from exptrack_daemon.delivery.dead_letters import forget
from exptrack_daemon.delivery.lane import Lane, LaneParts
from exptrack_daemon.errors import JournalNewer
from exptrack_daemon.files import Files
from exptrack_daemon.journal.cursor import Cursor, save_cursor
from exptrack_daemon.journal.reader import JournalReader, segment_numbers, segment_path
from exptrack_daemon.journal.replay import Replay
from exptrack_daemon.lifeline import Lifeline, is_same_process
from exptrack_daemon.sinks.base import OpenSink, SinkContext
from exptrack_daemon.sockets import bound
from exptrack_proto.errors import ProtocolError

logger = logging.getLogger(__name__)

FEED = "feed.sock"
_LOOK_AROUND_EVERY_S = 5.0
_LOOK_AROUND_SHARE = 100  # with very many runs: at most a hundredth of the time
_WAIT_MS = 200
_LAST_ROWS_S = 5.0
_HEAD_BYTES = 64 * 1024


class SinkWorker:
    """Delivers to one sink until asked to stop."""

    def __init__(
        self, name: str, open_sink: OpenSink, config: DaemonConfig, files: Files, clock: Clock
    ) -> None:
        self._config = config
        self._files = files
        self._clock = clock
        self._parts = LaneParts(
            name=name,
            home=config.home,
            files=files,
            clock=clock,
            open_sink=open_sink,
            batch_bytes=config.delivery.batch_bytes,
            batch_age_s=config.delivery.batch_age_s,
        )
        self._lanes: dict[str, Lane] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._unwanted: set[str] = set()
        self._children: dict[int, float] = {}
        self._look_at = float("-inf")
        self._lifeline: Lifeline | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._feed: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
        bound(self._feed)
        self._feed.setsockopt(zmq.SUBSCRIBE, b"")
        self._feed.connect(f"ipc://{config.home.runtime / FEED}")

    def serve(self, lifeline: Lifeline) -> None:
        """Deliver until the lifeline ends; a `RestartWorker` leaves through here."""
        self._lifeline = lifeline
        lifeline.beat(self.facts)
        busy = True
        while not lifeline.should_stop():
            self._listen(0 if busy else _WAIT_MS)
            if self._clock.monotonic_s() >= self._look_at:
                self._look_around(lifeline)
            busy = self._step_all(lifeline)
            self._retire()
        self._deliver_the_rest(lifeline)
        for lane in self._lanes.values():
            lane.close()
            lifeline.report(**self.facts())
        self.close()

    def close(self) -> None:
        """Release the sockets."""
        self._feed.close(0)
        self._context.term()

    def _step_all(self, lifeline: Lifeline) -> bool:
        busy = False
        for lane in list(self._lanes.values()):
            busy = lane.step(self._clock.monotonic_s()) or busy
            lifeline.beat(self.facts)
        lifeline.beat(self.facts)
        return busy

    def _deliver_the_rest(self, lifeline: Lifeline) -> None:
        """The intake has ended: hand over what it committed last, as far as that goes in a moment."""
        until = self._clock.monotonic_s() + _LAST_ROWS_S
        self._look_around(lifeline)
        is_busy = True
        while is_busy and self._clock.monotonic_s() < until:
            for lane in self._lanes.values():
                lane.hurry()
            is_busy = self._step_all(lifeline)

    def facts(self) -> dict[str, Any]:
        """What the supervisor shows."""
        lanes = self._lanes.values()
        troubled = next((lane for lane in lanes if lane.cursor.status != "live"), None)
        return {
            "runs": len(self._lanes),
            "lag_rows": sum(lane.lag_rows for lane in lanes),
            "dead_letters": sum(lane.dead_letters for lane in lanes),
            "state": troubled.cursor.status if troubled else "live",
            "reason": troubled.cursor.reason if troubled else "",
            "children": self._living_children(),
        }

    def _announce_child(self, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            self._children[pid] = psutil.Process(pid).create_time()
        if self._lifeline is not None:
            self._lifeline.report(**self.facts())  # at once: this very call into the sink may hang

    def _living_children(self) -> list[tuple[int, float]]:
        """Helper processes with their time of birth, so that a later owner of the pid is never meant."""
        self._children = {
            pid: born for pid, born in self._children.items() if is_same_process(pid, born)
        }
        return sorted(self._children.items())

    # --- which runs -----------------------------------------------------------------------------

    def _listen(self, wait_ms: int) -> None:
        """Hear which runs have news."""
        if not self._feed.poll(wait_ms):
            return
        for message in self._messages():
            run_id, _, rows = message.decode("utf-8", "replace").partition(" ")
            try:
                lane = self._lane(run_id)
            except OSError as error:
                logger.debug("Run %s: %s", run_id, error)  # a look around finds it again
                continue
            if lane is not None and rows.isdigit():
                lane.has_news = True
                lane.rows_in_journal = max(lane.rows_in_journal, int(rows))

    def _messages(self) -> Iterator[bytes]:
        while True:
            try:
                yield self._feed.recv(zmq.NOBLOCK)
            except zmq.Again:
                return

    def _look_around(self, lifeline: Lifeline) -> None:
        """Find runs whose news was missed, and requests to begin anew."""
        began_at = self._clock.monotonic_s()
        for run_id in self._files.names(self._config.home.runs):
            try:
                self._look_at_run(run_id)
            except OSError as error:  # it is being removed, or the disk errs: the next round tells
                logger.debug("Run %s: %s", run_id, error)
            lifeline.beat(self.facts)
        now = self._clock.monotonic_s()
        self._look_at = now + max(_LOOK_AROUND_EVERY_S, _LOOK_AROUND_SHARE * (now - began_at))

    def _look_at_run(self, run_id: str) -> None:
        if self._files.exists(replay_request(self._config, run_id, self._parts.name)):
            self._begin_anew(run_id)
        ending = self._ending(run_id)
        if ending is None or self._seen.get(run_id) == ending:
            return
        lane = self._lane(run_id)
        if lane is not None:
            lane.has_news = True
        if lane is not None or run_id in self._unwanted:
            self._seen[run_id] = ending

    def _ending(self, run_id: str) -> tuple[int, int] | None:
        """The newest segment and its size: changes when there is news."""
        directory = self._config.home.journal(run_id)
        numbers = segment_numbers(self._files, directory)
        return (
            (numbers[-1], self._files.size(segment_path(directory, numbers[-1])))
            if numbers
            else None
        )

    def _lane(self, run_id: str) -> Lane | None:
        if run_id in self._unwanted:
            return None
        if run_id not in self._lanes:
            wanted = self._is_wanted(run_id)
            if wanted is False:
                self._unwanted.add(run_id)
            if not wanted:
                return None
            self._lanes[run_id] = Lane(run_id, self._parts, self._sink_context(run_id))
        return self._lanes[run_id]

    def _is_wanted(self, run_id: str) -> bool | None:
        """The run asked for this sink, or was given to it later; None: its journal does not tell yet."""
        if self._files.exists(self._config.home.cursor(run_id, self._parts.name)):
            return True
        replay = Replay(run_id)
        reader = JournalReader(self._files, self._config.home.journal(run_id), run_id)
        try:
            frames = reader.read(max_bytes=_HEAD_BYTES).frames
            for found in frames[:16]:
                replay.entries(found)
        except (JournalNewer, ProtocolError) as error:
            logger.error("Run %s is left alone: %s", run_id, error)  # noqa: TRY400  # the message says it
            return False
        except OSError as error:
            logger.warning("Run %s: its journal cannot be read now: %s", run_id, error)
            return None
        return self._config.wants(self._parts.name, replay.run.sinks) if frames else None

    def _begin_anew(self, run_id: str) -> None:
        """Rebuild this sink for a run from the journal's beginning.

        The fresh cursor takes the old one's place before the request goes: it is what says, from then on,
        that the run is wanted here, whatever it asked for itself.
        """
        home, name = self._config.home, self._parts.name
        lane = self._lanes.pop(run_id, None)
        if lane is not None:
            lane.close()
        forget(self._files, home.dead_letters(run_id, name))
        save_cursor(self._files, home.cursor(run_id, name), Cursor())
        self._files.remove(replay_request(self._config, run_id, name))
        self._unwanted.discard(run_id)
        self._seen.pop(run_id, None)
        self._lanes[run_id] = Lane(run_id, self._parts, self._sink_context(run_id))
        logger.info("Run %s is delivered to %s from its beginning.", run_id, name)

    def _retire(self) -> None:
        """Forget runs that have ended and are all delivered; news brings them back."""
        for run_id, lane in list(self._lanes.items()):
            if lane.is_done:
                del self._lanes[run_id]

    def _sink_context(self, run_id: str) -> SinkContext:
        return SinkContext(
            home=self._config.home,
            folder=self._config.home.run(run_id),
            settings=self._config.sinks.get(self._parts.name, {}),
            clock=self._clock,
            announce_child=self._announce_child,
        )


def replay_request(config: DaemonConfig, run_id: str, sink: str) -> Path:
    """The file that asks a sink's worker to begin a run anew."""
    return config.home.cursor(run_id, sink).with_suffix(".replay")
