"""`Checkpoints`: save without making training wait, and go on from the newest whole one."""

from __future__ import annotations

import json
import operator
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgpack
from torch.optim.optimizer import register_optimizer_step_post_hook

from exptrack_agent.errors import Misuse
from exptrack_agent.notices import say_once
from exptrack_agent.torch.checkpoints import files, sets
from exptrack_agent.torch.checkpoints.files import Checkpoint, CheckpointDamaged
from exptrack_agent.torch.checkpoints.loading import read_checkpoint
from exptrack_agent.torch.checkpoints.overlap import Overlap
from exptrack_agent.torch.checkpoints.recovery import recover
from exptrack_agent.torch.checkpoints.retention import Retention
from exptrack_agent.torch.checkpoints.saver import Outcome, Policy, Save, Saver
from exptrack_agent.torch.checkpoints.sizes import size_of, size_of_optimizer
from exptrack_agent.torch.checkpoints.state import (
    encode_state,
    now_s,
    restore_state,
    states_of,
)
from exptrack_agent.torch.checkpoints.together import is_in_parts, is_saved_elsewhere, part_of
from exptrack_agent.torch.checkpoints.together import restore as restore_together
from exptrack_agent.torch.checkpoints.tree import Encoder
from exptrack_agent.torch.sending import kept_from_training, put_row
from exptrack_proto.limits import MAX_STEP, MIN_STEP

_READY_WITHIN_S = 60.0
_POLICIES = ("skip", "wait", "replace")


class Checkpoints:
    """The checkpoints of one folder.

    `save` returns when the state is copied; another process writes it, also when this one is killed. Memory
    for the copies (twice the state) is made by a thread from the first optimizer step on, or by `prepare`.

    Args:
        folder: where the files stand; made when the first one is written.
        run: a run that is told of each file.
        keep_last: keep so many of the newest; with neither this, `keep_best` nor `keep_every` all stay.
        keep_best: keep so many of the best by `metric`.
        metric: a name in `metrics`, or "loss".
        mode: whether the least ("min") or the greatest ("max") is best.
        keep_every: keep those whose step it divides.
        policy: when saves come faster than the disk takes them: "skip" the new one, "wait", or "replace" one
            that is staged and not begun. What was not written is counted, and recorded in the run.
        overlap: let a thread copy weights and optimizer state while the next step computes; the optimizer's
            step waits for it. Only for trainings in which nothing but that step changes them: a change by an
            in-place operation is noticed and the save given up, one through `.data` is not.

    Raises:
        Misuse: an argument has no meaning.
    """

    def __init__(  # noqa: PLR0913  # the public contract
        self,
        folder: str | os.PathLike[str],
        run: Any = None,
        *,
        keep_last: int | None = None,
        keep_best: int | None = None,
        metric: str | None = None,
        mode: Literal["min", "max"] = "min",
        keep_every: int | None = None,
        policy: Policy = "skip",
        overlap: bool = False,
    ) -> None:
        if policy not in _POLICIES:
            raise Misuse(f"policy is one of {', '.join(_POLICIES)}, not {policy!r:.40}")
        self.folder = Path(folder).expanduser().absolute()
        self._retention = Retention(
            keep_last=keep_last,
            keep_best=keep_best,
            metric=metric,
            mode=mode,
            keep_every=keep_every,
        )
        self._run = run
        self._saving = threading.Lock()
        self._saver = Saver(self.folder, policy, self._hear)
        self._is_overlapped = overlap
        self._pid = os.getpid()
        self._is_closed = False
        self._foresight = _prepared_at_first_step(self)

    # --- saving -----------------------------------------------------------------------------------

    def prepare(self, model: Any, optimizer: Any = None) -> None:
        """Have the memory for saves made now, by a thread, so that the first one costs what later ones do."""
        try:
            self._saver.prepare(size_of(model, optimizer))
        except OSError as error:
            self._say_unsaved("the memory for checkpoints could not be made", error)

    @property
    def is_prepared(self) -> bool:
        """Whether the memory for saves is there."""
        return self._saver.is_prepared

    def save(  # noqa: PLR0913  # the public contract
        self,
        model: Any,
        optimizer: Any = None,
        *,
        epoch: int,
        step: int,
        loss: Any = None,
        metrics: Mapping[str, Any] | None = None,
        scheduler: Any = None,
        config: Any = None,
    ) -> Path:
        """Save the training as it is now; what changes after the return changes nothing in the file.

        Whatever is wrong with memory or disk is said once and counted, and training goes on.

        Args:
            model: a module (DDP and compiled ones too: names are those of the module inside).
            optimizer: its optimizer.
            epoch: epochs begun.
            step: training steps done.
            loss: at this step: a number, or a 0-d tensor.
            metrics: others, by name.
            scheduler: the learning rate's.
            config: anything that describes the training; a mapping is kept without its secrets, as the run's.

        Returns:
            The path of the file, which stands there a moment later (`wait`). Of a model that is spread over
            ranks (`fully_shard`; all of them call `save`) it is that of the set, there when all parts are. Of
            DistributedDataParallel rank 0 writes, and the others do nothing.

        Raises:
            Misuse: epoch or step is no whole number, or a state holds what needs code to be read back.
        """
        epoch, step = _whole("epoch", epoch), _whole("step", step)
        if self._is_closed or os.getpid() != self._pid:
            raise Misuse("these checkpoints are closed, or another process's; open them anew")
        path = self.folder / files.file_name(epoch, step)
        if is_saved_elsewhere(model):
            return path
        numbers = {"loss": _number(loss), **{k: _number(v) for k, v in dict(metrics or {}).items()}}
        about = {
            "epoch": epoch,
            "step": step,
            "loss": numbers["loss"],
            "metrics": {name: numbers.get(name) for name in dict(metrics or {})},
            "timestamp": now_s(),
            "config": self._described(config),
        }
        states = states_of(model, optimizer, scheduler)
        order: dict[str, Any] = {}
        whole, is_part = path, is_in_parts(model)
        if is_part:
            states, part = part_of(states)
            about["part"] = part
            order["set"] = {"epoch": epoch, "step": step, **part, "spread": None}
            place = (epoch, step, part["save"], part["rank"], part["world_size"])
            path = self.folder / sets.part_name(*place)
            whole = self.folder / sets.manifest_name(epoch, step)
        encoder = Encoder()
        order |= {
            "tree": encode_state(encoder, states, about),
            "about": _listed(numbers),
            "retention": self._retention.as_order(),
        }
        overlap = None
        if self._is_overlapped and optimizer is not None and not is_part:
            overlap = Overlap(encoder, optimizer)
        self._stage(Save(path, step, encoder.storages, order, overlap, is_part))
        return whole

    def _described(self, config: Any) -> Any:
        """Without its secrets, as the run has it: a checkpoint is handed around more than a run is."""
        if self._run is None or not isinstance(config, Mapping):
            return config
        return self._run.redacted(dict(config))

    def wait(self, timeout_s: float) -> bool:
        """Wait until every save is on disk, or given up; False when that takes longer."""
        return self._saver.wait(timeout_s)

    def stats(self) -> dict[str, int]:
        """How many saves were `written`, `skipped`, `replaced`, `failed` (disk) and `refused` (memory)."""
        kinds = ("written", "skipped", "replaced", "failed", "refused")
        return {kind: self._saver.counts[kind] for kind in kinds}

    # --- going on ---------------------------------------------------------------------------------

    def load(
        self, path: str | os.PathLike[str] | None = None, *, map_location: Any = "cpu"
    ) -> dict[str, Any] | None:
        """Read a checkpoint: this one, or the newest that is whole. Runs nothing that stands in it.

        Saves under way, and those that a killed trainer had staged, are waited for (a minute at most).

        Returns:
            What it holds, by name; None when there is none.

        Raises:
            CheckpointDamaged: the one at `path`, or each one there is, is not whole.
        """
        self._settle()
        if path is None:
            return self._newest_whole(map_location)
        try:
            return read_checkpoint(Path(path), map_location)
        except FileNotFoundError:
            return None

    def restore(
        self,
        model: Any,
        optimizer: Any = None,
        scheduler: Any = None,
        path: str | os.PathLike[str] | None = None,
    ) -> dict[str, Any] | None:
        """Load a checkpoint and put everything back, the random number generators too.

        Of a model that is spread over ranks all of them call it, and all take the same one.

        Returns:
            What it holds (`epoch` and `step` say where to go on); None when there is none.

        Raises:
            CheckpointDamaged: as for `load`.
            Misuse: it is of another model or optimizer; nothing was changed.
        """
        if is_in_parts(model):
            return self._restore_parts(model, optimizer, scheduler, path)
        state = self.load(path)
        if state is not None:
            restore_state(state, model, optimizer, scheduler)
        return state

    def latest(self) -> Path | None:
        """The newest checkpoint on disk, not looked into."""
        found = self.list()
        return found[0].path if found else None

    def list(self) -> list[Checkpoint]:
        """The checkpoints on disk, the newest first, not looked into."""
        return sets.listed(self.folder)

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Keep a checkpoint whatever retention says; removing the file NAME.pinned ends that.

        Raises:
            Misuse: it is not there.
        """
        path = Path(path)
        if not path.exists():
            raise Misuse(f"there is no checkpoint {path}")
        files.pin_of(path).touch()

    def verify(self, path: str | os.PathLike[str]) -> str:
        """Read a checkpoint whole and compare it with the digest beside it.

        Returns:
            Its sha256.

        Raises:
            CheckpointDamaged: it is not what was written.
            Misuse: it is not there.
        """
        try:
            return sets.check(Path(path))
        except FileNotFoundError as error:
            raise Misuse(f"there is no checkpoint {path}") from error

    def close(self, timeout_s: float = _READY_WITHIN_S) -> bool:
        """Wait for the saves under way, then end the writer. What is not done in time it does alone.

        Returns:
            Whether all was done.
        """
        if self._is_closed or os.getpid() != self._pid:
            return True
        self._is_closed = True
        self._drop_foresight()
        return self._saver.close(timeout_s)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<exptrack checkpoints in {self.folder}, {self.stats()}>"

    # --- inside -----------------------------------------------------------------------------------

    def _stage(self, save: Save) -> None:
        is_staged = False
        with self._saving:
            self._drop_foresight()
            try:
                is_staged = self._saver.save(save)
            except OSError as error:
                self._saver.counts["refused"] += 1
                self._say_unsaved(f"{save.path.name} was not saved: it could not be staged", error)
            finally:
                if save.overlap is not None and not is_staged:
                    save.overlap.give_up()

    def _settle(self) -> None:
        if not self.wait(_READY_WITHIN_S):
            say_once("checkpoint wait", "a checkpoint is still being written; what is whole counts")
        for result in recover(self.folder, _READY_WITHIN_S):
            self._record(Path(result["path"]), int(result["step"]), result)

    def _restore_parts(
        self, model: Any, optimizer: Any, scheduler: Any, path: str | os.PathLike[str] | None
    ) -> dict[str, Any] | None:
        self._settle()
        found = [one.path for one in self.list()] if path is None else [Path(path)]
        if path is not None and not found[0].exists():
            found = []
        chosen, state, rejected = restore_together(found, model, optimizer, scheduler)
        self._say_rejected(chosen, rejected)
        return state

    def _newest_whole(self, map_location: Any) -> dict[str, Any] | None:
        rejected: list[str] = []
        for one in self.list():
            try:
                state = read_checkpoint(one.path, map_location)
            except FileNotFoundError:  # retention of another trainer was quicker
                continue
            except CheckpointDamaged as error:
                rejected.append(str(error))
                continue
            self._say_rejected(one.path, rejected)
            return state
        self._say_rejected(None, rejected)
        return None

    def _say_rejected(self, chosen: Path | None, rejected: Sequence[str]) -> None:
        if not rejected:
            return
        why = "; ".join(rejected)
        if chosen is None:
            raise CheckpointDamaged(f"no checkpoint is whole: {why}")
        say_once(
            f"rejected {chosen}",
            f"going on from {chosen.name}, the newest whole checkpoint; passed over: {why}",
        )

    def _hear(self, outcome: Outcome) -> None:
        with kept_from_training("what became of a checkpoint"):
            self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        if outcome.what == "written":
            self._record(outcome.path, outcome.step, outcome.detail)
            return
        if outcome.what == "failed":
            problem = outcome.detail.get("problem", "")
            say_once(
                f"checkpoint {problem}", f"{outcome.path.name} could not be written: {problem}"
            )
        else:
            say_once(
                f"checkpoint {outcome.what}",
                f"{outcome.path.name} was {outcome.what}: saves come faster than the disk takes them",
            )
        if self._run is not None:
            count = self._saver.counts[outcome.what]
            put_row(self._run, {f"checkpoints/{outcome.what}": count}, outcome.step)

    def _record(self, path: Path, step: int, detail: Mapping[str, Any]) -> None:
        if self._run is None:
            return
        if "set" in detail:
            whole = {**detail, **detail["set"]}
            del whole["set"]
            self._record(Path(whole["path"]), step, whole)
        metadata = {"epoch": detail.get("epoch"), "metrics": detail.get("metrics", {})}
        item = {
            "kind": "artifact",
            "time_ns": time.time_ns(),
            "step": step,
            "name": path.name,
            "type": "checkpoint part" if sets.is_part(path) else "checkpoint",
            "path": str(path),
            "size_bytes": detail["size_bytes"],
            "sha256": detail["sha256"],
            "metadata": json.dumps(metadata),
        }
        self._run.put_item(msgpack.packb(item))

    def _say_unsaved(self, what: str, error: OSError) -> None:
        say_once(f"checkpoint memory {error.errno}", f"{what}: {error.strerror or error}")

    def _drop_foresight(self) -> None:
        if self._foresight is not None:
            self._foresight.remove()
        self._foresight = None


def _prepared_at_first_step(checkpoints: Checkpoints) -> Any:
    """Have stages made when an optimizer has stepped for the first time: then its size is known."""
    known = weakref.ref(checkpoints)
    is_done = False

    def prepare(optimizer: Any, _arguments: Any, _keywords: Any) -> None:
        nonlocal is_done
        one = known()
        if is_done or one is None:
            return
        is_done = True
        try:
            one._saver.prepare(size_of_optimizer(optimizer))  # noqa: SLF001  # the class's own hook
        except Exception as error:  # noqa: BLE001  # inside the user's optimizer step
            say_once("foresight", f"the memory for checkpoints was not made ahead: {error!s:.200}")

    return register_optimizer_step_post_hook(prepare)


def _whole(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise Misuse(f"{name} is a whole number, not {value!r:.80}") from None
    if not MIN_STEP <= number <= MAX_STEP:
        raise Misuse(f"{name} {number} is out of range")
    return number


def _number(value: Any) -> Any:
    """A loss or a metric as a plain number, where it is one."""
    item = getattr(value, "item", None)
    if item is None or getattr(value, "numel", lambda: 1)() != 1:
        return value
    return item()


def _listed(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """What a list shows, and retention goes by."""
    plain = {
        str(name): value
        for name, value in numbers.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    return {"time_ns": time.time_ns(), "metrics": {k: float(v) for k, v in plain.items()}}
