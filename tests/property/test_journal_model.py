"""The production journal on a file system that fails and crashes, against a list of what was committed."""

from __future__ import annotations

import contextlib
import errno
import os
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from exptrack_daemon.journal.position import START
from exptrack_daemon.journal.reader import JournalReader
from tests.support.journals import (
    DIRECTORY,
    RUN,
    append,
    open_journal,
    read_frames,
    rows_frame,
)
from tests.support.memory_files import Failure, MemoryFiles

EXAMPLES = 4_000 if os.environ.get("EXPTRACK_TORTURE") else 150

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.just(0)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("kill"), st.just(0)),
        st.tuples(st.just("crash"), st.integers(0, 2**32)),
        st.tuples(st.just("reopen"), st.just(0)),
    ),
    max_size=40,
)


def frame(sequence: int) -> bytes:
    """The same however often it is sent, as the agent's frames are."""
    return rows_frame(sequence, pad=sequence * 7_919 % 3_001)


class Model:
    """A journal, how many frames were promised, and a reader that follows."""

    def __init__(self) -> None:
        self.files = MemoryFiles()
        self.journal = open_journal(self.files, segment_bytes=6_000)
        self.promised = 0
        self.reader = JournalReader(self.files, DIRECTORY, RUN)
        self.position = START
        self.followed = 0

    def append(self, _: int) -> None:
        with contextlib.suppress(OSError):
            append(self.journal, frame(self._reached()))
        self._learn()

    def commit(self, _: int) -> None:
        with contextlib.suppress(OSError):
            self.journal.commit()
        self._learn()

    def _reached(self) -> int:
        return max((end.next for end in self.journal.streams.values()), default=0)

    def _learn(self) -> None:
        """What was durable once stays so."""
        durable = max(self.journal.durable.values(), default=0)
        assert self.promised <= durable <= self._reached()
        self.promised = durable

    def fail(self, after: int) -> None:
        error = errno.ENOSPC if after % 2 else errno.EIO
        number = len(self.files.log) + after
        self.files.failures[number] = Failure(error, part=after / 9)

    def kill(self, _: int) -> None:
        self._open_again()

    def reopen(self, _: int) -> None:
        with contextlib.suppress(OSError):
            self.journal.close()
        self._open_again()

    def crash(self, seed: int) -> None:
        self.files = self.files.crash(Random(seed))
        self._open_again()

    def _open_again(self) -> None:
        """A new process; what was appended may have been kept, in order, but nothing promised is lost."""
        while True:
            with contextlib.suppress(OSError):
                self.journal = open_journal(self.files, segment_bytes=6_000)
                break
        self.reader = JournalReader(self.files, DIRECTORY, RUN)
        self._learn()

    def follow(self) -> None:
        """A live reader sees only promised frames, each once."""
        reading = self.reader.read(self.position, 2_000)
        for found in reading.frames:
            assert bytes(found.frame) == frame(self.followed)
            self.followed += 1
        self.position = reading.next
        assert self.followed <= self.promised
        assert reading.flaws == []

    def check(self) -> None:
        promised = [frame(sequence) for sequence in range(self.promised)]
        assert read_frames(self.files) == promised
        assert read_frames(self.files, max_bytes=1) == promised


@settings(max_examples=EXAMPLES, deadline=None)
@given(ACTS)
def test_what_was_committed_is_read_back_exactly_once_in_order(acts):
    model = Model()
    for act, number in acts:
        getattr(model, act)(number)
        model.follow()
    model.check()
