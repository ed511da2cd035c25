"""From a training's state to a staged save: two stages, whose turn it is, and what became of each save.

A slot is `MAKING` (a thread allocates it), `FREE`, `FILLING` (training copies into it) or `BUSY` (staged: the
writer's until it is told). Two slots, so that while one is filled the other holds the last good state. All of
this is under one lock, which nobody holds while bytes are copied or memory is made.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from exptrack_agent.notices import say_once
from exptrack_agent.torch.checkpoints import folders
from exptrack_agent.torch.checkpoints.copying import Landing, copy_storages
from exptrack_agent.torch.checkpoints.files import look_at
from exptrack_agent.torch.checkpoints.link import WriterLink
from exptrack_agent.torch.checkpoints.overlap import Overlap
from exptrack_agent.torch.checkpoints.stage import Mark, Stage, claimed, places_of

Policy: TypeAlias = Literal["skip", "wait", "replace"]
_SLOTS = 2
_SPARE = 1.05
_SPARE_BYTES = 1024 * 1024
_REPLACE_PAUSE_S = 0.02


class Save(NamedTuple):
    """What is to be saved, laid out.

    Attributes:
        path: the file it becomes.
        step: of the training.
        storages: untyped storages, on whatever device.
        order: what the writer is told, as JSON.
        overlap: what of it is copied later, if anything is.
    """

    path: Path
    step: int
    storages: list[Any]
    order: dict[str, Any]
    overlap: Overlap | None = None
    is_part: bool = False
    """Whether other ranks save the other parts: then it is waited for, since ranks cannot skip apart."""


class Outcome(NamedTuple):
    """What became of a save. `what`: written, skipped, replaced, failed, refused."""

    what: str
    path: Path
    step: int
    detail: Mapping[str, Any]


class _State(Enum):
    MAKING = auto()
    FREE = auto()
    FILLING = auto()
    BUSY = auto()


class _Slot:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.state = _State.FREE
        self.number = 0
        self.save: Save | None = None


class Saver:
    """Stages saves, and hears what the writer makes of them."""

    def __init__(self, target: Path, policy: Policy, tell: Callable[[Outcome], None]) -> None:
        self.counts: Counter[str] = Counter()
        """How many saves became what."""
        self._target = target
        self._policy = policy
        self._tell = tell
        self._changed = threading.Condition()
        self._slots: list[_Slot] = []
        self._folder: folders.StageFolder | None = None
        self._link: WriterLink | None = None
        self._number = 0
        self._is_closed = False

    # --- the training's side ----------------------------------------------------------------------

    def prepare(self, size: int) -> None:
        """Have stages made, by a thread, for saves of about `size` bytes."""
        with self._changed:
            if self._is_closed:
                return
            size = int(size * _SPARE) + _SPARE_BYTES
            self._open(size)
            waiting = [slot for slot in self._slots if self._is_to_be_made(slot, size)]
            for slot in waiting:
                slot.state = _State.MAKING
        if self._link is not None and not self._link.pid:
            self._link.wake()  # it takes seconds to start, and removes the stages should we be killed
        if waiting:
            threading.Thread(
                target=self._make, args=(waiting, size), name="exptrack-stages", daemon=True
            ).start()

    def save(self, save: Save) -> bool:
        """Stage a save; False when it was skipped.

        Raises:
            OSError: there is no room to stage it.
        """
        sizes = [storage.nbytes() for storage in save.storages]
        places = places_of(sizes)
        order = json.dumps({**save.order, "sizes": sizes, "path": str(save.path)}).encode()
        size = places.end + len(order)
        slot = self._take(save, size)
        if slot is None:
            self._note(Outcome("skipped", save.path, save.step, {}))
            return False
        try:
            slot.stage.make_room(size if size <= slot.stage.size else size + size // 50)
            slot.stage.mark = Mark.FILLING
            unfinished = _copied(slot.stage, save, places.starts)
        except BaseException:
            with self._changed:
                self._free(slot)
            raise
        if unfinished:
            self._seal_later(slot, order, places.end, unfinished)
        else:
            self._seal(slot, order, places.end)
        self.prepare(places.end)
        return True

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is under way; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way(), timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Wait for what is under way, then let writer and stages go; whether all was written."""
        is_done = self.wait(timeout_s)
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(
                lambda: all(slot.state is not _State.MAKING for slot in self._slots), timeout_s
            )
        if self._link is not None:
            self._link.close(timeout_s if is_done else 0)
        if self._folder is not None:
            self._folder.let_go()
            if is_done:  # else the writer does it
                shutil.rmtree(self._folder.path, ignore_errors=True)
        return is_done

    @property
    def is_prepared(self) -> bool:
        """Whether every stage has its memory."""
        with self._changed:
            made = [slot.state is not _State.MAKING and slot.stage.size for slot in self._slots]
            return bool(made) and all(made)

    @property
    def writer_pid(self) -> int:
        """The writer's process; 0: there is none."""
        return self._link.pid if self._link is not None else 0

    # --- slots ------------------------------------------------------------------------------------

    def _open(self, size: int) -> None:
        """Make the folder of stages where there is room, once."""
        if self._folder is not None:
            return
        self._folder = _open_folder(self._target, size)
        self._link = WriterLink(self._folder.path, self)
        for number in range(_SLOTS):
            self._slots.append(_Slot(Stage(self._folder.path / f"stage-{number}")))

    def _take(self, save: Save, size: int) -> _Slot | None:
        """A slot to fill, by the policy; None: the save is skipped."""
        with self._changed:
            self._open(size)
            policy: Policy = "wait" if save.is_part else self._policy
            while True:
                slot = self._free_slot(size) or self._replaced(policy)
                if slot is not None:
                    self._number += 1
                    slot.state, slot.save, slot.number = _State.FILLING, save, self._number
                    return slot
                is_making = any(slot.state is _State.MAKING for slot in self._slots)
                if policy == "skip" and not is_making:
                    return None
                self._changed.wait(_REPLACE_PAUSE_S if policy == "replace" else None)

    def _free_slot(self, size: int) -> _Slot | None:
        """The free slot that needs the least work; none while a thread makes one that would do."""
        free = [slot for slot in self._slots if slot.state is _State.FREE]
        fitting = [slot for slot in free if slot.stage.size >= size]
        if not fitting and any(slot.state is _State.MAKING for slot in self._slots):
            return None
        return next(iter(fitting or free), None)

    def _replaced(self, policy: Policy) -> _Slot | None:
        """With that policy, the newest staged save's slot, if the writer has not begun with it."""
        if policy != "replace":
            return None
        busy = [slot for slot in self._slots if slot.state is _State.BUSY]
        if len(busy) < len(self._slots):
            return None
        slot = max(busy, key=lambda slot: slot.number)
        try:
            with claimed(slot.stage.path, waits=False):
                if slot.stage.mark is not Mark.STAGED:
                    return None
                slot.stage.mark = Mark.FILLING
        except OSError:
            return None
        assert slot.save is not None
        self._note(Outcome("replaced", slot.save.path, slot.save.step, {}))
        return slot

    def _seal(self, slot: _Slot, order: bytes, at: int) -> None:
        with self._changed:
            slot.state = _State.BUSY
            slot.stage.seal(slot.number, order, at)
        if self._link is not None:
            self._link.wake()

    def _seal_later(
        self, slot: _Slot, order: bytes, at: int, unfinished: list[Landing | Overlap]
    ) -> None:
        def seal() -> None:
            try:
                for each in unfinished:
                    each.wait()
            except Exception as error:  # noqa: BLE001  # a lost device, or weights that were changed
                self._end(slot, "failed", {"problem": f"{error!s:.200}"})
                return
            self._seal(slot, order, at)

        threading.Thread(target=seal, name="exptrack-landing", daemon=True).start()

    def _free(self, slot: _Slot) -> None:
        slot.state, slot.save = _State.FREE, None
        self._changed.notify_all()

    def _under_way(self) -> bool:
        return any(slot.state in (_State.FILLING, _State.BUSY) for slot in self._slots)

    def _is_to_be_made(self, slot: _Slot, size: int) -> bool:
        is_good = slot.stage.size >= size - size // 10 and slot.stage.is_allocated
        return slot.state is _State.FREE and not is_good

    def _make(self, slots: list[_Slot], size: int) -> None:
        for slot in slots:
            problem = ""
            try:
                if not self._is_closed:
                    slot.stage.make_room(size, touch=True)
            except OSError as error:
                problem = error.strerror or str(error)
            with self._changed:
                if problem and slot is not self._slots[0]:
                    self._slots.remove(slot)  # one has to do
                self._free(slot)
        # What went wrong with the first one, the save that needs it will meet and say.

    # --- the writer's side (in the link's thread) ---------------------------------------------------

    def written(self, result: dict[str, Any]) -> None:
        """Hear what became of a save."""
        slot = next((one for one in self._slots if one.number == result.get("number")), None)
        if slot is None or slot.state is not _State.BUSY:
            return
        if result.get("retention_problem"):
            problem = result["retention_problem"]
            say_once("retention", f"checkpoints that may go could not be removed: {problem}")
        self._end(slot, "failed" if "problem" in result else "written", result)

    def is_waiting(self) -> bool:
        """Whether a staged save is still to be written."""
        for slot in list(self._slots):
            if slot.state is _State.BUSY and slot.stage.mark is Mark.DONE:
                self._end_untold(slot)
        with self._changed:
            return any(slot.state is _State.BUSY for slot in self._slots)

    def given_up(self, why: str) -> None:
        """No writer can be had: nothing that is staged will be written now."""
        for slot in list(self._slots):
            if slot.state is _State.BUSY:
                self._end(slot, "failed", {"problem": f"no process could write it: {why}"})

    def _end_untold(self, slot: _Slot) -> None:
        """A writer was killed between its last act and its word."""
        assert slot.save is not None
        found = look_at(slot.save.path)
        if found is None:
            self._end(slot, "failed", {"problem": "its file is not there"})
        else:
            self._end(slot, "written", found._asdict())

    def _end(self, slot: _Slot, what: str, detail: Mapping[str, Any]) -> None:
        save = slot.save
        assert save is not None
        self._note(Outcome(what, save.path, save.step, detail))
        with self._changed:
            self._free(slot)
        if not slot.stage.is_allocated:  # its first state went through the file: for the next one
            self.prepare(0)

    def _note(self, outcome: Outcome) -> None:
        self.counts[outcome.what] += 1
        self._tell(outcome)


def _copied(stage: Stage, save: Save, starts: Sequence[int]) -> list[Landing | Overlap]:
    """Copy what is to be copied now; what is left is for a thread to wait for."""
    overlap = save.overlap
    later = overlap.places if overlap is not None else frozenset[int]()
    landing = copy_storages(stage, save.storages, starts, later)
    if overlap is not None:
        overlap.begin(stage, save.storages, starts)
    return [each for each in (landing, overlap) if each is not None]


def _open_folder(target: Path, size: int) -> folders.StageFolder:
    """In the first place that can be used and has room."""
    *first, last = folders.roots_for(target)
    for root in first:
        try:
            space = os.statvfs(root.parent)
            if space.f_bavail * space.f_frsize >= _SLOTS * size:
                return folders.StageFolder(root, target)
        except OSError:
            continue
    say_once(
        "stages on disk",
        f"{first[0].parent} has no room for {_SLOTS} × {size >> 20} MiB, so checkpoints are staged"
        f" in {last}: saving them takes longer",
    )
    return folders.StageFolder(last, target)
