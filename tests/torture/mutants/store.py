"""Bugs in the series store: gathering, parts, cells, joining, the live tail, and the sink."""

from __future__ import annotations

from tests.torture.mutants.mutant import Mutant, many

LIVES = "tests/property/test_store_lives.py"
ROW_GROUPS = "tests/unit/store/test_row_groups.py"
POWER = "tests/torture/test_store_power.py"
SERIES = "tests/unit/store/test_series.py"

GATHERING = many(
    "exptrack_daemon/store/columns.py",
    Mutant("rows that come again are gathered twice", "known = max(0, self.row - entry.ordinal)", "known = 0", LIVES),
    Mutant("equal steps change places", "order = np.lexsort((points.ordinals, points.steps, placed))", "order = np.lexsort((-points.ordinals, points.steps, placed))", LIVES),
    Mutant("a step that goes back stays where it is", "    if goes_back.any():\n", "    if goes_back.all():\n", LIVES),
    Mutant("texts stand among the numbers", "    odd = points.kinds >= TEXT\n", "    odd = points.kinds > NONE\n", LIVES),
    Mutant("ordinals are counted from the piece's start", "        self.ordinal += n\n", "", LIVES),
)  # fmt: skip

CELLS = many(
    "exptrack_daemon/store/pyramid.py",
    Mutant("of equal places the first counts as last", "((x == held[0]) & (step >= held[1]))", "((x == held[0]) & (step < held[1]))", LIVES),
    Mutant("a later step counts before a later time", "(x > held[0]) | ((x == held[0])", "(step > held[1]) | ((x == held[0])", LIVES),
    Mutant("infinities count as finite", "return self.count - self.nan - self.pos_inf - self.neg_inf", "return self.count - self.nan", LIVES),
    Mutant("a wider cell forgets what its last finer one had no value for", "    at = np.where(last >= 0, last, ends)\n", "    at = ends\n", LIVES),
    Mutant("times that go back are taken as they come", "    if np.any(x[1:] < x[:-1]):\n", "    if np.all(x[1:] < x[:-1]):\n", LIVES),
    Mutant("lines share the first one's cells", "        at = (cell + lines * self._cells)[inside]\n", "        at = cell[inside]\n", LIVES),
    Mutant("the cell after the last is taken, too", "inside = (cell >= 0) & (cell < self._cells)", "inside = (cell >= 0) & (cell <= self._cells)", LIVES),
)  # fmt: skip

JOINING = many(
    "exptrack_daemon/store/joining.py",
    Mutant("an attempt counts up to the later one's first step and with it", "    which = raw.steps < piece.until\n", "    which = raw.steps <= piece.until\n", LIVES),
    Mutant("an attempt whose last step is the border counts whole", "self.until is None or self.place.last_step < self.until", "self.until is None or self.place.last_step <= self.until", LIVES),
    Mutant("the border's own cell counts, too", "else piece.until >> level.shift\n", "else (piece.until >> level.shift) + 1\n", LIVES),
    Mutant("the border's points are missing", "            by_points.append((line, piece, rest))\n", "", LIVES),
    Mutant("the rest begins where the grid does", "        if wanted.lo is not None and wanted.lo > grid.lo:  # cells say what was before\n", "        if wanted.lo is None:\n", LIVES),
    Mutant("of two later attempts only the next one's border counts", "        until = first if until is None else min(until, first)\n", "        until = first\n", LIVES),
    Mutant("a level that is too wide is taken", "if level.shift <= shift]", "if level.shift <= shift + 1]", LIVES),
)  # fmt: skip

SINK = (
    *many(
        "exptrack_daemon/sinks/store/sink.py",
        Mutant("merged parts go before the saved manifest stops naming them", "        if saved is not None:\n            named |=", "        if saved is None:\n            named |=", LIVES),
        Mutant("a finished run's manifest points behind its open rows", "if self._manifest.parts and not len(self._gathering):", "if self._manifest.parts:", LIVES),
        Mutant("the manifest counts rows behind a part's end", "            *(tuple(parts), at.position, chunk.row,", "            *(tuple(parts), at.position, self._gathering.row,", LIVES),
        Mutant("a power cut takes the folder of the parts", "            self._files.sync_directory(self._folder.parent)  # else a power cut takes the folder\n", "", POWER),
        Mutant("only the first of the merged parts goes into the new one", "points = held[0] if len(held) == 1 else sort(concat(held))", "points = held[0]", LIVES),
    ),
    *many(
        "exptrack_daemon/store/live.py",
        Mutant("the tail keeps what stands in parts", "if end > ordinal]", "if end >= ordinal]", LIVES),
        Mutant("the tail shows what it showed before", "            self._open = None\n            for chunk", "            for chunk", LIVES),
    ),
    *many(
        "exptrack_daemon/store/series.py",
        Mutant("a point at a cell's end counts in it", "(first + np.arange(n)) * width)", "(first + np.arange(n)) * width, side=\"right\")", SERIES),
    ),
    *many(
        "exptrack_daemon/store/row_groups.py",
        Mutant("a row group that touches the bounds is passed over", "held.max_raw >= lo and", "held.max_raw > lo and", ROW_GROUPS),
        Mutant("the last row group's rows are cut off", "span.first + span.length - last * self._size)", "span.first + span.length - last * self._size - 1)", ROW_GROUPS),
    ),
)  # fmt: skip

MUTANTS = (*GATHERING, *CELLS, *JOINING, *SINK)
