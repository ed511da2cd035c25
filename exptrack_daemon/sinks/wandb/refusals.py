"""What the server refused for good, and how the lines that do it are found: by sending fewer at a time.

W&B gives up uploading a run's history after one refused request, and does not say for which line. The next
worker then sends at most `window` lines before the server holds them; each refusal halves the window. A line
that is refused alone is the one: in its place goes one that says so, since a line left out would shift all
that follow. Kept in a file, as every refusal costs the worker its process.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

_FOR_WHAT_WAS_SENT = re.compile(r"(400|413|422)\b")
_MAX_WINDOW = 1_024
_MAX_POISON = 10_000
_MAX_IN_A_ROW = 20


@dataclass(frozen=True, slots=True)
class Refusals:
    """Of one run."""

    window: int = 0
    """How many lines may be on their way; 0: any number."""
    until: int = 0
    """The window is for lines below this one."""
    poison: tuple[int, ...] = ()
    """Lines that the server does not take."""

    def after(self, held: int, sent: int) -> Refusals:
        """Once the server, holding the lines below `held`, refused something of those below `sent`."""
        if sent <= held:
            return self
        on_their_way = min(sent - held, self.window or _MAX_WINDOW)
        if on_their_way == 1 and {*range(held - _MAX_IN_A_ROW, held)} <= {*self.poison}:
            return self  # not the rows are at fault, but what travels with each of them
        if on_their_way == 1:
            poison = (*self.poison, held)[-_MAX_POISON:]
            return replace(self, window=0, until=0, poison=poison)
        return replace(self, window=on_their_way // 2, until=max(self.until, sent))

    def may_send(self, line: int, held: int) -> bool:
        """Whether the line is no further ahead of the server than the window allows."""
        return not self.window or held >= self.until or line < held + self.window

    @classmethod
    def load(cls, folder: Path) -> Refusals:
        """Nothing when there is no such file, or it is damaged: then it is found out again."""
        try:
            found = json.loads(_path(folder).read_bytes())
            return cls(int(found["window"]), int(found["until"]), tuple(found["poison"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def save(self, folder: Path) -> None:
        path = _path(folder)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)


def is_for_what_was_sent(reason: str) -> bool:
    """Whether the same would be refused again: too large, malformed. A key can be mended, a run restored."""
    return _FOR_WHAT_WAS_SENT.match(reason) is not None


def _path(folder: Path) -> Path:
    return folder / "refused.json"
