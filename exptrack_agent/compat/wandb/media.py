"""W&B's media classes, and what becomes of any other value that scripts hand to `wandb.log`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exptrack_agent import media
from exptrack_agent.notices import say_once
from exptrack_agent.values import is_on_accelerator

_PNG = ".png"


class Image(media.Image):
    """A picture: array, tensor, PIL image, matplotlib figure, or the path of a picture file."""

    def __init__(  # noqa: PLR0913  # the arguments of the original, in its order
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: Any = None,
        masks: Any = None,
        file_type: str | None = None,
        normalize: bool = True,
    ) -> None:
        if boxes or masks:
            say_once("wandb boxes", "wandb.Image: boxes and masks are not kept, the picture is")
        self._figure = hasattr(data_or_path, "set_canvas")
        super().__init__(_picture(data_or_path), caption or "")

    def items(self, name: str, step: int, time_ns: int) -> list[media.Item]:
        """The wire items of this picture."""
        if self._figure:
            return media.Figure(self.data, self.caption).items(name, step, time_ns)
        return super().items(name, step, time_ns)


class Histogram(media.Histogram):
    """A distribution, of values or of `(counts, edges)`."""

    def __init__(
        self,
        sequence: Any = None,
        np_histogram: tuple[Any, Any] | None = None,
        num_bins: int = 64,
    ) -> None:
        if np_histogram is not None:
            super().__init__(np_histogram=np_histogram)
        else:
            super().__init__(_on_host(sequence))


class Table(media.Table):
    """Rows and columns; cells that are no numbers become texts."""

    def __init__(  # noqa: PLR0913  # the arguments of the original, in its order
        self,
        columns: Sequence[str] | None = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        dtype: Any = None,
        optional: Any = True,
        allow_mixed_types: bool = False,
        log_mode: str = "IMMUTABLE",
    ) -> None:
        given: Any = next((one for one in (dataframe, data, rows) if one is not None), [])
        if hasattr(given, "tolist"):
            given = given.tolist()
        names = [str(column) for column in columns] if columns is not None else None
        if names is None and not len(given):
            names = ["Input", "Output", "Expected"]  # W&B's default
        super().__init__(given, names)

    @property
    def data(self) -> list[list[Any]]:
        """The rows."""
        return self.rows

    def add_row(self, *row: Any) -> None:
        """Append one row."""
        self.add_data(*row)

    def add_column(self, name: str, data: Sequence[Any]) -> None:
        """Append one column.

        Raises:
            ValueError: it has not as many cells as there are rows.
        """
        if self.rows and len(data) != len(self.rows):
            raise ValueError(f"this Table has {len(self.rows)} rows, not {len(data)}")
        if not self.rows:
            self.rows = [[] for _ in data]
            self.columns = []
        for row, cell in zip(self.rows, data, strict=True):
            row.append(cell)
        self.columns.append(str(name))

    def get_column(self, name: str) -> list[Any]:
        """The cells of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


class Html(media.Text):
    """A page: its source is kept as text."""

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        if hasattr(data, "read"):
            source = data.read()
        elif not data_is_not_path and isinstance(data, str | os.PathLike) and _is_file(data):
            source = Path(data).read_text()
        else:
            source = data
        super().__init__(source)


class NotKept(media.Text):
    """Stands for media that exptrack has no kind for: a text says what was there."""

    def __init__(self, data_or_path: Any = None, *_arguments: Any, **keywords: Any) -> None:
        kind = type(self).__name__
        say_once(f"wandb {kind}", f"wandb.{kind} is not kept; a text says that it was there")
        what = (
            str(data_or_path)
            if isinstance(data_or_path, str | os.PathLike)
            else _shape(data_or_path)
        )
        caption = keywords.get("caption")
        super().__init__(f"{kind} {what}, not kept." + (f" {caption}" if caption else ""))


class Video(NotKept):
    """Not kept; said once."""


class Audio(NotKept):
    """Not kept; said once."""


class Object3D(NotKept):
    """Not kept; said once."""


class Molecule(NotKept):
    """Not kept; said once."""


class Plotly(NotKept):
    """Not kept; said once."""


def loggable(value: Any) -> Any:
    """What exptrack can log in place of a value that is no plain number."""
    if getattr(type(value), "exptrack_media", False):
        return value
    if isinstance(value, Mapping):
        return {str(name): loggable(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set):
        return _several(list(value))
    if hasattr(value, "set_canvas"):
        return media.Figure(value)
    if getattr(value, "__name__", "") == "matplotlib.pyplot":
        return media.Figure(value.gcf())
    if hasattr(value, "to_plotly_json"):
        return Plotly(value)
    if hasattr(value, "getbands"):  # a PIL image
        return media.Image(value)
    if getattr(value, "ndim", 0) and _size(value) != 1:
        return media.Histogram(_on_host(value))  # W&B shows arrays as histograms
    return value


def _several(values: list[Any]) -> Any:
    """Of several pictures each by its number; of numbers a histogram; else a text."""
    converted = [loggable(value) for value in values]
    if any(getattr(type(value), "exptrack_media", False) for value in converted):
        if len(converted) == 1:
            return converted[0]
        return {str(number): value for number, value in enumerate(converted)}
    if values and all(isinstance(value, int | float) for value in values):
        return media.Histogram(values)
    return media.Text(values)


def _picture(given: Any) -> Any:
    """What exptrack's Image takes: other files than PNG are opened with Pillow."""
    if isinstance(given, str | os.PathLike) and Path(given).suffix.lower() != _PNG:
        from PIL import Image as Pillow

        with Pillow.open(given) as opened:
            return opened.convert("RGB")
    if hasattr(given, "detach"):
        given = _on_host(given)
        if given.ndim == 4:  # a batch: side by side
            from exptrack_agent.compat.tensorboard.pictures import as_picture

            return as_picture(given, "NCHW")
    return given


def _on_host(values: Any) -> Any:
    """As W&B does, and so it waits for the device."""
    return values.detach().cpu() if is_on_accelerator(values) else values


def _size(value: Any) -> int:
    size = getattr(value, "size", 1)
    return int(value.numel() if callable(size) else size)


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"of shape {tuple(shape)}" if shape is not None else f"({type(value).__name__})"


def _is_file(text: str | os.PathLike[str]) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False
