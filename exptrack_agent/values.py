"""What a logged value may be, and how it becomes a plain number: for values that msgpack does not know."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from exptrack_proto.limits import MAX_DEPTH, MAX_NAME_CHARS

Scalar: TypeAlias = float | int | bool | str | None
_BIG = 2**63
_PLAIN = (float, int, str)

PLAIN_KINDS: frozenset[type] = frozenset([float, int, bool, str, type(None)])
PACKED_BUT_NO_SCALAR = (list, tuple, bytes, bytearray, memoryview, dict)
"""What msgpack packs without a question, though it is no value of a metric (a `dict` may hold some)."""


ITEM_KINDS: set[type] = set()
"""Types whose `item()` is always one plain number: NumPy's scalars, as they are met."""
_NUMPY_NUMBERS = frozenset(
    ["bool", "bool_", "float16", "float32"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


class NotScalar(Exception):
    """The value is no number; the message says what it is and what to do."""


class IsOnDevice(NotScalar):
    """The value is one number on an accelerator: it can be fetched without waiting, and logged later."""


class IsMedia(Exception):
    """The value is a media object; it travels as an item of its own."""


class Fault(NamedTuple):
    """What is wrong with one value of a row."""

    name: str
    reason: str


class Parts(NamedTuple):
    """A row taken apart."""

    plain: dict[str, Any]
    media: list[tuple[str, Any]]
    faults: list[Fault]
    on_device: list[tuple[str, Any]]


def coerce_scalar(value: object) -> Scalar:
    """The plain number of a NumPy scalar, a 0-d array or tensor on the CPU, a Decimal, a Fraction.

    Raises:
        IsMedia: for a media object.
        NotScalar: for anything that is not one number.
    """
    kind = type(value)
    if kind.__module__ == "numpy":  # never on a device, never media: straight to the number
        return _from_item(value, getattr(value, "item", None))
    if getattr(kind, "exptrack_media", False) is True:
        raise IsMedia
    if is_on_accelerator(value):
        refusal = IsOnDevice if _can_be_fetched(value) else NotScalar
        raise refusal(
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
    size = getattr(value, "size", 1)
    if size != 1 and not callable(size):
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
    if type(number) is float:
        return number
    if isinstance(number, complex):
        raise NotScalar("a complex number has no place on an axis; log its real and imag parts")
    if isinstance(number, bool | int | float | str):
        return fit(number)
    return float(number)


def is_on_accelerator(value: object) -> bool:
    """Whether reading the value would wait for a device (torch, JAX, TensorFlow, CuPy)."""
    device = getattr(value, "device", None)
    if isinstance(device, str):
        return "cpu" not in device.lower()
    kind = getattr(device, "type", None) or getattr(device, "platform", None)
    if isinstance(kind, str):
        return kind not in ("cpu", "meta")
    return hasattr(type(value), "__cuda_array_interface__")


def _can_be_fetched(value: Any) -> bool:
    """Whether it is one real number of torch; its size is known without asking the device."""
    return (
        type(value).__module__.partition(".")[0] == "torch"
        and value.numel() == 1
        and not value.is_complex()
    )


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


def cut_text(text: str, most_bytes: int) -> str:
    """Valid UTF-8 of at most so many bytes (and so characters)."""
    data = text.encode("utf-8", "replace")
    return data[:most_bytes].decode("utf-8", "ignore")


def shown(value: object) -> str:
    """A short text for a message. Runs no code of the value's own: that may raise, or wait for a device."""
    if type(value) not in _SHOWN:
        return f"an object of type {type(value).__name__}"
    try:
        return reprlib.repr(value)[:80]
    except ValueError:  # an int of more digits than Python will print
        return "a number of very many digits"


_SHOWN = frozenset([int, float, bool, str, bytes, type(None), complex])


def is_sound(values: Mapping[Any, Any], depth: int = 1, room: int = MAX_NAME_CHARS) -> bool:
    """Whether a packed mapping is a row as the format has it; msgpack also packs lists, bytes, any key."""
    for name, value in values.items():
        if not isinstance(name, str) or len(name) > room:
            return False
        if isinstance(value, dict):
            if depth >= MAX_DEPTH or not is_sound(value, depth + 1, room - len(name) - 1):
                return False
        elif isinstance(value, PACKED_BUT_NO_SCALAR):
            return False
    return True


def is_packed_as_is(value: object) -> bool:
    """Whether msgpack makes of it what a row may hold, and runs no code of its own."""
    return _is_plain(value) or (type(value) is dict and is_sound(value, 2))


def plain_value(value: object) -> Any:
    """One value of a row, plain; of a mapping, all of it.

    Raises:
        IsMedia: for a media object.
        NotScalar: for what is neither a number nor a mapping of numbers.
    """
    if _is_plain(value):
        return value
    if not isinstance(value, Mapping):
        kind = type(value)
        if kind.__module__ == "numpy" and kind.__name__ in _NUMPY_NUMBERS:
            ITEM_KINDS.add(kind)
        return coerce_scalar(value)
    parts = plain_values(value, 2)
    if parts.media or parts.faults or parts.on_device:
        raise NotScalar("some of it is no number")
    return parts.plain


def plain_values(data: Mapping[Any, Any], depth: int = 1, prefix: str = "") -> Parts:
    """Take a row apart: plain values, media objects with their names, and what is wrong with the rest."""
    parts = Parts({}, [], [], [])
    for name, value in dict(data).items():  # a copy: another thread may be changing it
        if not isinstance(name, str) or len(prefix) + len(name) > MAX_NAME_CHARS:
            parts.faults.append(Fault(f"{prefix}{shown(name)}", "this is no name for a metric"))
            continue
        key = clean_text(name)
        if isinstance(value, Mapping):
            _take_mapping(parts, key, value, depth, prefix)
            continue
        try:
            parts.plain[key] = fit(value) if _is_plain(value) else coerce_scalar(value)
        except IsMedia:
            parts.media.append((prefix + key, value))
        except IsOnDevice:
            parts.on_device.append((prefix + key, value))
        except NotScalar as error:
            parts.faults.append(Fault(prefix + key, str(error)))
        except Exception as error:  # noqa: BLE001  # a value's own code may raise anything
            parts.faults.append(Fault(prefix + key, f"reading it raised {type(error).__name__}"))
    return parts


def _take_mapping(
    parts: Parts, key: str, value: Mapping[Any, Any], depth: int, prefix: str
) -> None:
    path = f"{prefix}{key}"
    if depth >= MAX_DEPTH:
        parts.faults.append(Fault(path, f"mappings are nested deeper than {MAX_DEPTH}"))
        return
    try:
        inner = plain_values(value, depth + 1, f"{path}/")
    except Exception as error:  # noqa: BLE001  # a mapping's own code may raise anything
        parts.faults.append(Fault(path, f"reading it raised {type(error).__name__}"))
        return
    if inner.plain or not (inner.media or inner.faults or inner.on_device):
        parts.plain[key] = inner.plain
    parts.on_device.extend(inner.on_device)
    parts.media.extend(inner.media)
    parts.faults.extend(inner.faults)


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
    return value is None or isinstance(value, _PLAIN)
