"""`wandb.plot`: the charts that are cheap, as tables of what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exptrack_agent.compat.wandb.media import NotKept, Table


def line(
    table: Table, x: str, y: str, stroke: str | None = None, title: str = "", **_others: Any
) -> Table:
    """The table of a line chart."""
    return table


def scatter(table: Table, x: str, y: str, title: str = "", **_others: Any) -> Table:
    """The table of a scatter plot."""
    return table


def bar(table: Table, label: str, value: str, title: str = "", **_others: Any) -> Table:
    """The table of a bar chart."""
    return table


def histogram(table: Table, value: str, title: str = "", **_others: Any) -> Table:
    """The table of a histogram."""
    return table


def line_series(
    xs: Sequence[Any],
    ys: Sequence[Sequence[Any]],
    keys: Sequence[str] | None = None,
    title: str = "",
    xname: str = "x",
    **_others: Any,
) -> Table:
    """Several lines as a table of x, line and y."""
    names = [str(key) for key in keys or range(len(ys))]
    axes = xs if xs and isinstance(xs[0], list | tuple) else [xs] * len(ys)
    rows = [
        [x, name, y]
        for name, axis, values in zip(names, axes, ys, strict=True)
        for x, y in zip(axis, values, strict=False)
    ]
    return Table(columns=[xname, "line", "y"], data=rows)


def confusion_matrix(
    probs: Any = None,
    y_true: Sequence[int] | None = None,
    preds: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "",
    **_others: Any,
) -> Table:
    """How often each class was taken for which.

    Raises:
        ValueError: `y_true`, or both `probs` and `preds`, are missing.
    """
    if y_true is None or (probs is None) == (preds is None):
        raise ValueError("confusion_matrix takes y_true, and either probs or preds")
    guessed = [int(p) for p in preds] if preds is not None else [_best(row) for row in probs]
    truth = [int(label) for label in y_true]
    number = len(class_names) if class_names else max([*truth, *guessed], default=-1) + 1
    names = [str(name) for name in class_names or range(number)]
    counts = [[0] * number for _ in range(number)]
    for actual, predicted in zip(truth, guessed, strict=True):
        counts[actual][predicted] += 1
    rows = [
        [names[actual], names[predicted], counts[actual][predicted]]
        for actual in range(number)
        for predicted in range(number)
    ]
    return Table(columns=["Actual", "Predicted", "nPredictions"], data=rows)


class Curve(NotKept):
    """Curves that W&B computes with scikit-learn: not kept; said once."""


def pr_curve(*_arguments: Any, **_keywords: Any) -> Curve:
    """Not kept; said once. Log the points as a Table."""
    return Curve("of precision and recall")


def roc_curve(*_arguments: Any, **_keywords: Any) -> Curve:
    """Not kept; said once. Log the points as a Table."""
    return Curve("of receiver operating characteristic")


def _best(row: Any) -> int:
    values = list(row)
    return values.index(max(values))
