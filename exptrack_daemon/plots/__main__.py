"""`python -m exptrack_daemon.plots RUN --home HOME --output FILE.png [--json]`: draw a run.

The tracker calls it, in a process of its own, so that training does not wait. With `--json` the data that was
drawn is printed. Exit code 1, and one line on standard error: there is nothing to draw, or no way to.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.files import OsFiles, replace_durably
from exptrack_daemon.plots.kinds import THEMES, drawn
from exptrack_daemon.store.reader import open_home

if TYPE_CHECKING:
    from exptrack_daemon.plots.curves import Curve


def main(arguments: list[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    try:
        data, png = drawn(
            open_home(options.home),
            "training",
            [options.run],
            theme=options.theme,
            rank=options.rank,
        )
        replace_durably(OsFiles(), options.output, png)
    except ExptrackError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{options.output} cannot be written: {error.strerror}")
    except ImportError as error:
        return _fail(f"drawing needs {error.name}: pip install 'exptrack[plots]'")
    if options.json:
        found = {key: _document(name, curve) for key, (name, curve) in data.lines.items()}
        json.dump(found, sys.stdout)
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exptrack_daemon.plots", description=__doc__)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="FILE.png")
    parser.add_argument("--theme", choices=THEMES, default="light")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser


def _document(name: str, curve: Curve) -> dict[str, Any]:
    """What was drawn; NaN and infinities by name, since JSON has no number for them."""
    from exptrack_daemon.plots.curves import USUAL_SMOOTH, smoothed

    even = smoothed(curve, USUAL_SMOOTH)
    smooth = {"steps": [], "values": []} if even is None else _points(curve, even.tolist())
    odd = zip(_steps(curve.odd_x.tolist()), curve.odd_y.tolist(), strict=True)
    return {
        "name": name,
        "points": curve.points,
        **_points(curve, curve.y.tolist()),
        "low": curve.lowest.tolist(),
        "high": curve.highest.tolist(),
        "smoothed": smooth,
        "nonfinite": [[step, repr(value)] for step, value in odd],
        "nonfinite_points": curve.odd_points,
        "gaps": [_steps(list(gap)) for gap in curve.gaps],
    }


def _points(curve: Curve, values: list[float]) -> dict[str, Any]:
    return {"steps": _steps(curve.x.tolist()), "values": values}


def _steps(places: list[float]) -> list[int]:
    return [round(place) for place in places]


def _fail(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
