"""A real TensorBoard server on loopback, asked over HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_URL = re.compile(r"http://127\.0\.0\.1:\d+/")
_PATIENCE_S = 25.0
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class TensorBoardServer:
    def __init__(self, url: str) -> None:
        self._url = url

    def get_bytes(self, path: str, **query: Any) -> bytes:
        tail = f"?{urllib.parse.urlencode(query)}" if query else ""
        with _opener.open(self._url + path.lstrip("/") + tail, timeout=10) as answer:
            return answer.read()

    def get(self, path: str, **query: Any) -> Any:
        return json.loads(self.get_bytes(path, **query))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self._url + path.lstrip("/"),
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with _opener.open(request, timeout=10) as answer:
            return json.loads(answer.read())

    def scalars(self, run: str, tag: str) -> list[tuple[int, float]]:
        """(step, value) of a tag, as the scalars page gets them."""
        try:
            points = self.get("data/plugin/scalars/scalars", run=run, tag=tag)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        return [(step, value) for _, step, value in points]

    def scalar_tags(self) -> dict[str, list[str]]:
        return {run: sorted(tags) for run, tags in self.get("data/plugin/scalars/tags").items()}


def eventually(ask: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """Ask until the answer is wanted, or time is up; the last answer, for the assertion that follows."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        answer = ask()
        if wanted(answer) or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


@contextmanager
def tensorboard(logdir: Path, *, fast: bool) -> Iterator[TensorBoardServer]:
    arguments = [
        "--logdir", str(logdir), "--host", "127.0.0.1", "--port", "0",
        "--load_fast", "true" if fast else "false", "--reload_interval", "1",
        "--samples_per_plugin", "scalars=100000,text=1000,images=100,histograms=500",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield TensorBoardServer(_read_url(process))
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _read_url(process: subprocess.Popen[str]) -> str:
    found: list[str] = []
    seen: list[str] = []
    ready = threading.Event()

    # The pipe is read to its end, so that a server which has a lot to say never waits for us.
    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            seen.append(line)
            if match := _URL.search(line):
                found.append(match[0])
                ready.set()
        process.stderr.close()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    ready.wait(_PATIENCE_S)
    assert found, "".join(seen)
    return found[0]
