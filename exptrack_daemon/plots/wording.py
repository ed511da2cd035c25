"""Words and numbers in pictures: text from runs made harmless, values and steps in few characters."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.ticker import Formatter, LogLocator, MaxNLocator

LONGEST = 48
"""Characters of a name in a legend."""
_FIRST_FONT = "DejaVu Sans"
_WIDE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Unifont",
    "Noto Sans Symbols2",
)
_NO_GLYPH = "□"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def shown(text: str, most: int = LONGEST) -> str:
    """Text that matplotlib shows as it is: one line, no formulas, no character that no font here has.

    What is too long loses its middle, since names of runs differ at their ends.
    """
    line = "".join(character if character.isprintable() else " " for character in text[:4_000])
    if len(line) > most:
        tail = most // 2
        line = f"{line[: most - tail - 1]}…{line[-tail:]}"
    known = _glyphs()
    return "".join(c if ord(c) in known else _NO_GLYPH for c in line).replace("$", r"\$")


@functools.cache
def families() -> Sequence[str]:
    """Fonts in which a glyph is looked for; those for wide scripts where they are installed."""
    installed = set(font_manager.fontManager.get_font_names())
    return (_FIRST_FONT, *(name for name in _WIDE_FONTS if name in installed))


@functools.cache
def _glyphs() -> frozenset[int]:
    fonts = (font_manager.get_font(font_manager.findfont(name)) for name in families())
    return frozenset[int]().union(*(font.get_charmap() for font in fonts))


def short_number(at: float) -> str:
    """A step in few characters: 1,500, 20 k, 1.5 M."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(at) >= size:
            divisor = 1e3 if unit == "k" else size
            return f"{at / divisor:g} {unit}"
    return f"{at:,.0f}" if float(at).is_integer() else f"{at:g}"


def short_value(value: float) -> str:
    """A value in few characters: 0.25, 1,500, 2.5e-7."""
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else short_number(value)


def duration(seconds: float) -> str:
    """A length of time: 250 µs, 12 ms, 3.5 s, 20 min, 3 h."""
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")):
        if abs(seconds) >= size:
            return f"{seconds / size:.4g} {unit}"
    return "0 s" if seconds == 0 else f"{seconds * 1e6:.4g} µs"


def bytes_unit(count: float) -> float:
    """The unit (a power of 1,024) in which so many bytes are said."""
    return 1024.0 ** next((at for at in range(len(_UNITS) - 1, 0, -1) if abs(count) >= 1024**at), 0)


def amount_of_bytes(count: float) -> str:
    """Bytes in powers of 1,024."""
    unit = bytes_unit(count)
    return f"{count / unit:.4g} {_UNITS[round(math.log(unit, 1024))]}"


class Values(Formatter):
    """Labels of a value axis: as many digits as tell neighbouring ticks apart, and no offset above."""

    def __call__(self, value: float, _place: int | None = None) -> str:
        """One value."""
        return short_value(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The labels of all ticks."""
        ticks = [float(value) for value in values]
        largest = max((abs(tick) for tick in ticks), default=0.0)
        apart = min((b - a for a, b in pairwise(ticks) if b > a), default=0.0)
        if not 1e-4 <= largest < 1e5 or apart == 0:
            return [short_value(tick) for tick in ticks]
        digits = min(9, max(0, -math.floor(math.log10(apart) + 1e-9)))
        if any(abs(round(tick, digits) - tick) > apart / 20 for tick in ticks):
            digits += 1
        return [f"{tick:,.{digits}f}" for tick in ticks]


def label_values(axes: Axes) -> None:
    """Ticks of the y axis in our words; on a logarithmic axis of few decades some in between too."""
    axes.yaxis.set_major_formatter(Values())
    if axes.get_yscale() == "linear":
        return
    axes.yaxis.set_major_formatter(lambda at, _: short_value(at))
    if axes.get_yscale() != "log":
        return
    low, high = axes.get_ylim()
    if low > 0 and math.log10(high / low) < 2:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(lambda *_: "")


def label_steps(axes: Axes, ticks: int = 7) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True))
    axes.xaxis.set_major_formatter(lambda at, _: short_number(at))
