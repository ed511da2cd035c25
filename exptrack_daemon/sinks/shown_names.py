"""What a run wants its metrics called in one backend: whole names, or beginnings (`epoch/*`). Pure.

A whole name goes before a beginning, a longer beginning before a shorter. What no entry names stays as it is.
An entry that cannot be meant is passed over: a run's wish must not stop its sink.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from exptrack_proto.limits import MAX_NAME_CHARS

_ALL = "/*"


class ShownNames:
    """The names of one run in one backend."""

    def __init__(self, table: object = None) -> None:
        entries = list(_entries(table))
        self._whole = {name: shown for name, shown in entries if not name.endswith(_ALL)}
        begins = [(name[:-1], shown[:-1]) for name, shown in entries if name.endswith(_ALL)]
        self._begins = sorted(begins, key=lambda pair: -len(pair[0]))

    def shown(self, name: str) -> str:
        """What to call one metric."""
        whole = self._whole.get(name)
        if whole is not None:
            return whole
        for begin, other in self._begins:
            if name.startswith(begin):
                return other + name[len(begin) :]
        return name

    def shown_in_row(self, names: Iterable[str]) -> list[str]:
        """What to call the metrics of one row, so that no two are called the same."""
        taken: set[str] = set()
        chosen = []
        for name in names:
            shown = self.shown(name)
            if shown in taken:
                shown = name
            while shown in taken:
                shown += "'"
            taken.add(shown)
            chosen.append(shown)
        return chosen


def _entries(table: object) -> Iterable[tuple[str, str]]:
    if not isinstance(table, Mapping):
        return
    for name, shown in table.items():
        if not isinstance(name, str) or not isinstance(shown, str):
            continue
        is_whole = not name.endswith(_ALL) and not shown.endswith(_ALL)
        is_begin = name.endswith(_ALL) and shown.endswith(_ALL)
        if (is_whole or is_begin) and name and 0 < len(shown) <= MAX_NAME_CHARS:
            yield name, shown.encode("utf-8", "replace").decode()
