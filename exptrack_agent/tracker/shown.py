"""Images and texts as users hand them over: one, a mapping of them, or a batch; each under its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exptrack_agent.media import Image, Item, Text

MOST_OF_A_BATCH = 16


def named_images(images: Mapping[str, Any] | str, data: Any, caption: str) -> dict[str, Any]:
    """Image objects by name; a batch gives its first sixteen, as `NAME/0` and so on."""
    given = {images: data} if isinstance(images, str) else images
    return {
        name: image for key, value in given.items() for name, image in _each(key, value, caption)
    }


def _each(name: str, value: Any, caption: str) -> Iterator[tuple[str, Any]]:
    if hasattr(value, "exptrack_media"):
        yield name, value
    elif len(getattr(value, "shape", ())) == 4 or _is_list_of_images(value):
        for number, one in zip(range(MOST_OF_A_BATCH), value, strict=False):
            yield from _each(f"{name}/{number}", one, caption)
    else:
        yield name, Image(value, caption)


def _is_list_of_images(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and not isinstance(value[0], list | tuple | int | float)
    )


def named_texts(texts: Mapping[str, Any] | str, text: object) -> dict[str, Any]:
    """Text objects by name."""
    given = {texts: text} if isinstance(texts, str) else texts
    return {
        name: value if hasattr(value, "exptrack_media") else Text(value)
        for name, value in given.items()
    }


class DrawnPicture(Image):
    """A PNG of a plot, which backends show among the figures."""

    def items(self, name: str, step: int, time_ns: int) -> list[Item]:
        """The wire items of this picture."""
        *chunks, image = super().items(name, step, time_ns)
        return [*chunks, {**image, "figure": True}]
