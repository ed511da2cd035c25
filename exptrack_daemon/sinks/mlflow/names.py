"""How our names become MLflow's: keys of metrics, params and tags, names of files, experiments. Pure.

MLflow takes letters, digits and `_ - . : /` and spaces, at most 250, and no name that a file system would
read as another one (`a//b`, `../a`). A name that it takes stays as it is. In any other one each character
that does not fit becomes `_xHEX_`, and each `_x` that was there `_x5f_x`: so no two names become one, and
`_x([0-9a-f]*)_` reads them back. What is still too long ends in a digest.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable
from typing import Any

from exptrack_daemon.journal.entries import Stream
from exptrack_daemon.sinks.shown_names import ShownNames

MAX_KEY_CHARS = 250
MAX_EXPERIMENT_CHARS = 500
_MAX_FILE_CHARS = 100
_FITS = re.compile(r"[/\w.\- :]*")
_DOES_NOT_FIT = re.compile(r"[^/\w.\- :]|_(?=x)")
_NOT_IN_FILES = re.compile(r"[^a-zA-Z0-9_\-. /]|_(?=x)")
_ESCAPED = re.compile(r"_x[0-9a-f]*_")
_EMPTY = "_x_"
_OWN = ("mlflow.", "exptrack.")
"""Tags that begin so mean something to MLflow's pages, or to us."""


def key(name: str) -> str:
    """The key that MLflow keeps a metric, param or tag by."""
    is_path = posixpath.normpath(name) == name and name != "." and not name.startswith((".", "/"))
    if is_path and _FITS.fullmatch(name) and not _ESCAPED.search(name):
        return _shortened(name, MAX_KEY_CHARS)
    escaped = _DOES_NOT_FIT.sub(_escape, name)
    if not is_path:
        escaped = escaped.replace("/", "_x2f_")
        if escaped.startswith("."):
            escaped = "_x2e_" + escaped[1:]
    return _shortened(escaped or _EMPTY, MAX_KEY_CHARS)


def tag_key(label: str) -> str:
    """A user's tag; one that would mean something to MLflow or to us is changed so that it does not."""
    taken = key(label)
    return taken.replace(".", "_x2e_", 1) if taken.startswith(_OWN) else taken


def file_name(name: str) -> str:
    """One segment of a path, of characters that every store of files takes; `/` becomes `~`."""
    if _ESCAPED.search(name) or _NOT_IN_FILES.search(name):
        name = _NOT_IN_FILES.sub(_escape, name)
    if name.startswith("."):
        name = "_x2e_" + name[1:]
    return _shortened(name or _EMPTY, _MAX_FILE_CHARS).replace("/", "~")


def experiment(prefix: str, project: str) -> str:
    return _shortened(f"{prefix}{project}", MAX_EXPERIMENT_CHARS) or _EMPTY


def prefix_of(stream: Stream) -> str:
    """Ranks share one MLflow run: the keys of all but the first are told apart; the sampler's are already."""
    return f"rank_{stream.rank}/" if stream.rank and stream.role == "trainer" else ""


class Keys:
    """How a run's metric names become MLflow's keys; remembered, as the same names come in every row."""

    def __init__(self, shown: ShownNames) -> None:
        self._shown = shown
        self._rows: dict[tuple[str, tuple[str, ...]], list[str]] = {}

    def of_row(self, names: Iterable[str], prefix: str) -> list[str]:
        asked = (prefix, tuple(names))
        found = self._rows.get(asked)
        if found is None:
            if len(self._rows) > 1_000:
                self._rows.clear()
            found = [key(prefix + shown) for shown in self._shown.shown_in_row(asked[1])]
            self._rows[asked] = found
        return found

    def of(self, name: str, prefix: str = "") -> str:
        return key(prefix + self._shown.shown(name))


def _escape(found: re.Match[str]) -> str:
    return f"_x{ord(found[0]):x}_"


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{text[: most - 18].rstrip('/')}..{digest}"


def labels(tags: Iterable[str]) -> dict[str, Any]:
    """The run's tags, which are words, as MLflow's, which are pairs."""
    return {tag_key(tag): "true" for tag in tags}
