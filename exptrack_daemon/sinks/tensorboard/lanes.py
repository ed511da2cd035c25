"""Which file a point goes to, so that TensorBoard's default reader keeps every one on the screen.

That reader drops a tag's points at step s and later when a value at s arrives. So a folder's steps of one
tag must rise. A point that goes back, or repeats a step, goes to the first of the run's further folders
(`late`, `late_2` …) where its step is past the tag's last one; that splits any sequence into as few rising
ones as there can be. After `late_8` the last folder takes the rest: all of it stands in the file, and
the default reader shows its newest rising stretch.

A new attempt forgets the steps in the plain folder: going back then is a rewind, and what was rewound leaves
the screen. In the late folders nothing is ever rewound.

Steps are remembered by a digest of the tag, for the first 32,768 (tag, folder) pairs of a run; tags past
that are written unchecked. So the saved state stays below its 1 MiB whatever names a run makes up.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from exptrack_proto.limits import MIN_STEP

MOST_LATE = 8
MOST_REMEMBERED = 32_768
UNSEEN = MIN_STEP - 2
"""Of a tag that never stood in the folder; like `REWOUND` below every step a row can have."""
REWOUND = MIN_STEP - 1
"""Of a tag that stood there in an earlier attempt only."""
_NAMES: dict[int | None, str] = {UNSEEN: "unseen", REWOUND: "rewound"}
"""Both are past 64 bits, which not every JSON library takes."""
_VALUES = {"unseen": UNSEEN, "rewound": REWOUND}
_DIGEST_BYTES = 6


def tag_key(tag: str) -> bytes:
    """What a tag is remembered by; 48 bits, so that one pair in ten thousand full registries collides."""
    return hashlib.blake2b(tag.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).digest()


@dataclass(slots=True)
class Room:
    """How many more pairs a run may remember; shared by its writers."""

    left: int = MOST_REMEMBERED


@dataclass(slots=True)
class Lane:
    """One folder: the last step of each tag in it, and what its file begins with already."""

    folder: str
    tops: dict[bytes, int] = field(default_factory=dict)
    begun: bool = False
    """The file's version record stands."""
    rewinds: bool = False
    """What was placed last goes before points of an earlier attempt; for whoever writes it, never saved."""


class Lanes:
    """The folders of one writer (a rank, or the sampler), the plain one first."""

    def __init__(self, folder: str, room: Room) -> None:
        self.folder = folder
        self.kinds: dict[bytes, str] = {}
        """Kind of each remembered tag, in the order of first appearance."""
        self.lanes = [Lane(folder)]
        self._room = room

    @property
    def main(self) -> Lane:
        return self.lanes[0]

    def new_attempt(self) -> None:
        tops = self.main.tops
        self.main.tops = {key: UNSEEN if tops[key] == UNSEEN else REWOUND for key in tops}

    def resolve(self, name: str, kind: str) -> tuple[str, bytes | None]:
        """The tag for a name, and its key (None: not remembered).

        TensorBoard shows a tag as what its first value was, so a second kind gets a tag of its own.
        """
        tag = name
        while True:
            key = tag_key(tag)
            known = self.kinds.get(key)
            if known == kind:
                return tag, key
            if known is None:
                return tag, key if self._register(key, kind) else None
            tag = f"{tag}/{kind}"

    def _register(self, key: bytes, kind: str) -> bool:
        if not self._room.left:
            return False
        self.kinds[key] = kind
        self._set_top(self.main, key, UNSEEN)
        return True

    def place(self, key: bytes | None, step: int, *, first: int) -> Lane:
        """Choose the lane of a point, and remember it; `first` = 1 keeps it out of the plain folder."""
        lane = self._choose(key, step, first)
        if key is not None and (key in lane.tops or self._room.left):
            lane.rewinds |= lane.tops.get(key) == REWOUND
            self._set_top(lane, key, step)
        return lane

    def fits_main(self, keys: list[bytes], step: int) -> bool:
        """Whether all these tags may have a point at `step` in the plain folder; it is not remembered."""
        tops = list(map(self.main.tops.__getitem__, keys))
        fits = max(tops, default=UNSEEN) < step
        self.main.rewinds |= fits and REWOUND in tops
        return fits

    def _choose(self, key: bytes | None, step: int, first: int) -> Lane:
        for index in range(first, MOST_LATE + 1):
            if index == len(self.lanes):
                self._add_lane()
            lane = self.lanes[index]
            if key is None or lane.tops.get(key, UNSEEN) < step:
                return lane
        return self.lanes[-1]

    def _add_lane(self) -> None:
        number = len(self.lanes)
        name = "late" if number == 1 else f"late_{number}"
        self.lanes.append(Lane(f"{self.folder}/{name}" if self.folder else name))

    def _set_top(self, lane: Lane, key: bytes, step: int) -> None:
        if key not in lane.tops:
            self._room.left -= 1
        lane.tops[key] = step

    def state(self) -> dict[str, Any]:
        """JSON values from which `from_state` makes an equal object."""
        return {
            "tags": base64.b64encode(b"".join(self.kinds)).decode(),
            "kinds": [[kind, len(list(run))] for kind, run in groupby(self.kinds.values())],
            "lanes": [self._lane_state(lane) for lane in self.lanes],
        }

    def _lane_state(self, lane: Lane) -> dict[str, Any]:
        # Tags of one row have one step: run lengths over the tags' order shrink them to a pair.
        steps = map(lane.tops.get, self.kinds)
        return {
            "folder": lane.folder,
            "begun": lane.begun,
            "tops": [[_NAMES.get(step, step), len(list(run))] for step, run in groupby(steps)],
        }

    @classmethod
    def from_state(cls, folder: str, room: Room, state: dict[str, Any]) -> Lanes:
        lanes = cls(folder, room)
        packed = base64.b64decode(state["tags"])
        keys = [packed[at : at + _DIGEST_BYTES] for at in range(0, len(packed), _DIGEST_BYTES)]
        lanes.kinds = dict(zip(keys, _expand(state["kinds"]), strict=True))
        for number, saved in enumerate(state["lanes"]):
            if number:
                lanes._add_lane()
            lane = lanes.lanes[number]
            lane.begun = saved["begun"]
            for key, step in zip(keys, _expand(saved["tops"]), strict=True):
                if step is not None:
                    lanes._set_top(lane, key, _VALUES.get(step, step))
        return lanes


def _expand(runs: list[list[Any]]) -> Iterator[Any]:
    for value, count in runs:
        yield from [value] * count
