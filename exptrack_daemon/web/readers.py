"""Reading threads: a few, each with a reader of its own, so that the event loop never waits for a disk.

What the readers keep of series is one: a journal's tail is decoded once, whoever asks. Inside one question
threads would not help: 50 runs took two threads as long as one, and half again the processor time.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from exptrack_daemon.store.reader import HomeReader, open_home

Answer = TypeVar("Answer")
Lane: TypeAlias = Literal["quick", "list", "health", "long", "picture"]


class Readers:
    """Lanes, so that what is polled each second never waits behind lists, charts or a picture."""

    def __init__(self, home: Path, *, long_threads: int = 3) -> None:
        self.home = home
        self._held = threading.local()
        self._lock = threading.Lock()
        self._first: HomeReader | None = None
        self._lanes: dict[Lane, ThreadPoolExecutor] = {
            "quick": ThreadPoolExecutor(1, "studio-quick"),
            "list": ThreadPoolExecutor(1, "studio-list"),
            "health": ThreadPoolExecutor(1, "studio-health"),
            "long": ThreadPoolExecutor(long_threads, "studio-long"),
            "picture": ThreadPoolExecutor(1, "studio-picture"),
        }

    async def ask(self, question: Callable[[HomeReader], Answer], lane: Lane = "quick") -> Answer:
        """The answer to a question that reads the home, asked in a thread of this lane."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lanes[lane], self._answer, question)

    def _answer(self, question: Callable[[HomeReader], Answer]) -> Answer:
        reader: HomeReader | None = getattr(self._held, "reader", None)
        if reader is None:
            reader = self._held.reader = self._open()
        return question(reader)

    def _open(self) -> HomeReader:
        reader = open_home(self.home)
        with self._lock:
            if self._first is None:
                self._first = reader
            else:
                reader.share_series(self._first)
        return reader

    def load_ahead(self) -> None:
        """Load what charts are read with while nobody waits for it: a second, where the machine is busy."""
        self._lanes["long"].submit(importlib.import_module, "exptrack_daemon.store.parts")

    def close(self) -> None:
        """Take no more questions; those under way end by themselves."""
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)
