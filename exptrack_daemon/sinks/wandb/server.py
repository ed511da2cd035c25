"""Asking W&B's server what it holds of a run.

wandb reports a row as logged when it is in a queue, and `finish()` as done when nothing was sent at all (a
refused key). So we ask the server itself, with the query that wandb's own service uses to resume a run.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from exptrack_daemon.clock import Clock
from exptrack_daemon.errors import SinkUnavailable
from exptrack_daemon.sinks.wandb.settings import Destination

_HISTORY = """query RunResumeStatus($project: String, $entity: String, $name: String!) {
  model(name: $project, entityName: $entity) {
    bucket(name: $name, missingOk: true) { id historyLineCount historyTail }
  }
}"""
_FILES = """query RunFiles($project: String!, $entity: String!, $name: String!, $files: [String] = []) {
  project(name: $project, entityName: $entity) {
    run(name: $name) { files(names: $files, first: 100) { edges { node { name sizeBytes } } } }
  }
}"""
_STOPPED = """query RunStoppedStatus($entity: String, $project: String, $name: String!) {
  project(name: $project, entityName: $entity) { run(name: $name) { stopped } }
}"""
MAX_FILES = 100
"""Asked for at once."""


@dataclass(slots=True)
class Server:
    """One run, as W&B's server knows it. Every question may raise `SinkUnavailable` with its reason."""

    destination: Destination
    project: str
    run_id: str
    timeout_s: float
    entity: str | None = None
    """None until the server has said whose default entity the key belongs to."""

    def lines_held(self) -> int:
        """The step after the last one in the run's history; 0 when there is no such run."""
        bucket = (self._ask("RunResumeStatus", _HISTORY).get("model") or {}).get("bucket") or {}
        if not bucket.get("historyLineCount"):
            return 0
        tail = json.loads(bucket.get("historyTail") or "[]")
        return max((int(json.loads(line)["_step"]) + 1 for line in tail), default=0)

    def files_held(self, names: Iterable[str]) -> frozenset[str]:
        """Which of these files of the run have been uploaded."""
        data = self._ask("RunFiles", _FILES, files=list(names))
        files = ((data.get("project") or {}).get("run") or {}).get("files") or {}
        nodes = [edge["node"] for edge in files.get("edges") or ()]
        # A file is listed with size 0 when its upload has only been announced.
        return frozenset(node["name"] for node in nodes if int(node.get("sizeBytes") or 0))

    def is_stop_pressed(self) -> bool:
        """Whether somebody pressed Stop on the run's page."""
        run = (self._ask("RunStoppedStatus", _STOPPED).get("project") or {}).get("run") or {}
        return bool(run.get("stopped"))

    def _ask(self, operation: str, query: str, **more: Any) -> dict[str, Any]:
        variables = {
            "entity": self.entity or self.destination.entity,
            "project": self.project,
            "name": self.run_id,
            **more,
        }
        body = {"operationName": operation, "query": query, "variables": variables}
        answer = self._post(json.dumps(body).encode())
        if answer.get("errors") and not answer.get("data"):
            says = answer["errors"][0].get("message", "")
            raise SinkUnavailable(f"W&B at {self.destination.base_url} says: {says}")
        data = answer.get("data")
        return data if isinstance(data, dict) else {}

    def _post(self, body: bytes) -> dict[str, Any]:
        url = self.destination.base_url
        token = base64.b64encode(f"api:{self.destination.api_key}".encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        request = urllib.request.Request(f"{url}/graphql", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            error.close()
            raise SinkUnavailable(_refusal(url, error.code)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SinkUnavailable(_no_answer(url, error, self.timeout_s)) from error
        return answer if isinstance(answer, dict) else {}


def _refusal(url: str, status: int) -> str:
    if status in (401, 403):
        return f"W&B at {url} refused the API key ({status})"
    return f"W&B at {url} answered {status}"


def _no_answer(url: str, error: Exception, timeout_s: float) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer from W&B at {url} in {timeout_s:g} s"
    says = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return f"W&B at {url} cannot be reached: {says}"


Answer = TypeVar("Answer")


class Question(Generic[Answer]):
    """Asks in a thread of its own, so that who wants the answer never waits for it."""

    def __init__(self, clock: Clock, *, every_s: float) -> None:
        self._clock = clock
        self._every_s = every_s
        self._asked_at = float("-inf")
        self._thread: threading.Thread | None = None
        self._answer: Answer | None = None
        self.failure: SinkUnavailable | None = None
        """Why the last question got no answer; None when it got one."""

    def take(self) -> Answer | None:
        """The answer that has come since the last call."""
        if self._thread is not None and self._thread.is_alive():
            return None
        self._thread = None
        answer, self._answer = self._answer, None
        return answer

    def ask(self, ask: Callable[[], Answer]) -> None:
        """Ask again when it is time; never two questions at once."""
        now = self._clock.monotonic_s()
        if self._thread is not None or now - self._asked_at < self._every_s:
            return
        self._asked_at = now
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def _run(self, ask: Callable[[], Answer]) -> None:
        try:
            self._answer = ask()
            self.failure = None
        except SinkUnavailable as error:
            self.failure = error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.failure = SinkUnavailable(f"W&B's answer is not understood: {error!r}")
