"""What a logged value may be, and how it becomes a plain number: for values that msgpack does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from exptrack_proto.limits import MAX_NAME_CHARS

Scalar: TypeAlias = float | int | bool | str | None
_BIG = 2**63


class NotScalar(Exception):
    """The value is no number; the message says what it is and what to do."""


class IsMedia(Exception):
    """The value is a media object; it travels as an item of its own."""


def coerce_scalar(value: object) -> Scalar:
    """The plain number of a NumPy scalar, a 0-d array or tensor on the CPU, a Decimal, a Fraction.

    Raises:
        IsMedia: for a media object.
        NotScalar: for anything that is not one number.
    """
    if hasattr(value, "exptrack_media"):
        raise IsMedia
    if is_on_accelerator(value):
        raise NotScalar(
            "a tensor on an accelerator is not read here, since that would make training wait;"
            " log `x.item()` where you synchronise anyway"
        )
    item = getattr(value, "item", None)
    if item is not None:
        return _from_item(value, item)
    if hasattr(value, "__float__"):
        return float(value)  # Decimal, Fraction, and their like
    raise NotScalar(
        f"{type(value).__name__} is no number; log a number, or exptrack's Text, Image, Table …"
    )


def _from_item(value: Any, item: Any) -> Scalar:
    if getattr(value, "size", 1) != 1 and not callable(getattr(value, "size", None)):
        raise NotScalar(
            f"an array of shape {value.shape} is no single number; log exptrack's Histogram(x)"
        )
    try:
        number = item()
    except (ValueError, RuntimeError) as error:
        shape = tuple(getattr(value, "shape", ()))
        raise NotScalar(
            f"a value of shape {shape} is no single number; log exptrack's Histogram(x)"
        ) from error
    if isinstance(number, complex):
        raise NotScalar("a complex number has no place on an axis; log its real and imag parts")
    if isinstance(number, bool | int | float | str):
        return fit(number)
    return float(number)


def is_on_accelerator(value: object) -> bool:
    """Whether reading the value would wait for a device."""
    device = getattr(value, "device", None)
    kind = getattr(device, "type", "cpu")
    return isinstance(kind, str) and kind not in ("cpu", "meta") and hasattr(value, "detach")


def fit(value: Scalar) -> Scalar:
    """An int beyond 64 bits becomes the nearest float; a text becomes valid UTF-8."""
    if isinstance(value, int) and not -_BIG <= value < 2 * _BIG:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return clean_text(value) if isinstance(value, str) else value


def clean_text(text: str) -> str:
    """The text with lone surrogates replaced: they have no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def plain_values(
    data: Mapping[Any, Any], depth: int = 1
) -> tuple[dict[str, Any], list[tuple[str, Any]], list[str]]:
    """Take a row apart: plain values, media objects with their names, and what is wrong with the rest."""
    plain: dict[str, Any] = {}
    media: list[tuple[str, Any]] = []
    faults: list[str] = []
    for name, value in data.items():
        if not isinstance(name, str) or len(name) > MAX_NAME_CHARS:
            faults.append(f"{name!r:.60} is no name for a metric")
            continue
        key = clean_text(name)
        if isinstance(value, Mapping):
            if depth >= 4:
                faults.append(f"{key}: mappings are nested deeper than 4")
                continue
            inner, inner_media, inner_faults = plain_values(value, depth + 1)
            plain[key] = inner
            media += [(f"{key}/{inner_name}", item) for inner_name, item in inner_media]
            faults += [f"{key}/{fault}" for fault in inner_faults]
            continue
        try:
            plain[key] = fit(value) if _is_plain(value) else coerce_scalar(value)
        except IsMedia:
            media.append((key, value))
        except NotScalar as error:
            faults.append(f"{key}: {error}")
        except Exception as error:  # noqa: BLE001  # a value's own code may raise anything
            faults.append(f"{key}: reading it raised {type(error).__name__}: {error}")
    return plain, media, faults


def flat_names(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by name, those of nested mappings under names joined by `/`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flat_names(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
