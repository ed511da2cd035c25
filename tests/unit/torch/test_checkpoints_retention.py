"""Which checkpoints stay, decided without a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from exptrack_agent.errors import Misuse
from exptrack_agent.torch.checkpoints.files import Checkpoint
from exptrack_agent.torch.checkpoints.retention import Retention


def checkpoint(step: int, loss: float | None = None, *, pinned: bool = False) -> Checkpoint:
    metrics = {} if loss is None else {"loss": loss}
    return Checkpoint(Path(f"{step}.pt"), 0, step, 1, step, "", metrics, pinned)


LOSSES = [5.0, 1.0, 4.0, 2.0, float("nan"), 3.0]
FOUND = [checkpoint(step, LOSSES[step]) for step in reversed(range(6))]


def kept(retention: Retention, found: list[Checkpoint] = FOUND) -> list[int]:
    going = {one.step for one in retention.dispensable(found, found[0])}
    return [one.step for one in reversed(found) if one.step not in going]


@pytest.mark.parametrize(
    ("retention", "steps"),
    [
        (Retention(), [0, 1, 2, 3, 4, 5]),
        (Retention(keep_last=1), [5]),
        (Retention(keep_last=2), [4, 5]),
        (Retention(keep_last=99), [0, 1, 2, 3, 4, 5]),
        (Retention(keep_best=2, metric="loss"), [1, 3, 5]),
        (Retention(keep_best=1, metric="loss", mode="max"), [0, 5]),
        (Retention(keep_best=1, metric="none"), [5]),
        (Retention(keep_every=2), [0, 2, 4, 5]),
        (Retention(keep_last=2, keep_best=1, metric="loss", keep_every=3), [0, 1, 3, 4, 5]),
    ],
)
def test_the_last_the_best_and_every_nth_stay(retention: Retention, steps: list[int]) -> None:
    assert kept(retention) == steps


def test_a_pinned_one_stays() -> None:
    found = [checkpoint(2), checkpoint(1, pinned=True), checkpoint(0)]
    assert kept(Retention(keep_last=1), found) == [1, 2]


def test_the_one_just_written_stays_even_if_another_trainers_is_newer() -> None:
    going = Retention(keep_last=1).dispensable(FOUND, FOUND[3])
    assert FOUND[3] not in going
    assert FOUND[0] not in going


@pytest.mark.parametrize(
    "arguments",
    [{"keep_last": 0}, {"keep_every": -1}, {"keep_best": 1}, {"metric": "loss"}, {"mode": "least"},
     {"keep_last": 1.5}],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(Misuse):
        Retention(**arguments)  # type: ignore[arg-type]
