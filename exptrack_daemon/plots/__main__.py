"""`python -m exptrack_daemon.plots RUN --home HOME --output FILE.png [--json]`: draw a run's picture.

The tracker calls it, in a process of its own, so that training does not wait. With `--json` the data that was
drawn is printed. Exit code 1, and one line on standard error: there is nothing to draw, or no way to.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.files import OsFiles, replace_durably
from exptrack_daemon.plots.reading import Lines, read_lines
from exptrack_daemon.plots.thinning import Line
from exptrack_daemon.store.reader import RunView, open_home


def main(arguments: list[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    try:
        reader = open_home(options.home)
        view = reader.find(options.run)
        found, lines = read_lines(reader, view.id, options.rank)
        from exptrack_daemon.plots.picture import png_of

        title = f"{view.facts.run.project} / {view.facts.run.name}"
        png = png_of(found, title, _subtitle(view, lines), options.theme)
        replace_durably(OsFiles(), options.output, png)
    except ExptrackError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{options.output} cannot be written: {error.strerror}")
    except ImportError as error:
        return _fail(f"drawing needs {error.name}: pip install 'exptrack[plots]'")
    if options.json:
        json.dump({key: _document(*named) for key, named in found.items()}, sys.stdout)
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exptrack_daemon.plots", description=__doc__)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="FILE.png")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser


def _subtitle(view: RunView, lines: Lines) -> str:
    step = "no step yet" if lines.last_step is None else f"step {lines.last_step:,}"
    return f"{view.status.name}   ·   {step}   ·   {lines.rows:,} rows   ·   run {view.id}"


def _document(name: str, line: Line) -> dict[str, Any]:
    """What was drawn; NaN and infinities by name, since JSON has no number for them."""
    smoothed = {"steps": line.smooth_steps.tolist(), "values": line.smooth_values.tolist()}
    odd = zip(line.odd_steps.tolist(), line.odd_values.tolist(), strict=True)
    return {
        "name": name,
        "points": line.points,
        "steps": line.steps.tolist(),
        "values": line.values.tolist(),
        "smoothed": smoothed,
        "nonfinite": [[step, repr(value)] for step, value in odd],
        "nonfinite_points": line.odd_points,
        "gaps": [list(gap) for gap in line.gaps],
    }


def _fail(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
