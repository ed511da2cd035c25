/** Lines by epoch: a run's own epochs, as it logged them, in place of its steps. Pure. */

/**
 * Lines on a common grid of epochs.
 * @param {{id: string, stats: Object<string, ArrayLike<number>>}[]} lines on a grid of steps
 * @param {Map<string, ArrayLike<number>>} epochs each run's epoch, by cell of the same grid
 * @param {number} cells
 * @returns {{x0: number, width: number, lines: any[], missing: string[]}} missing: runs that logged no epoch
 */
export function byEpoch(lines, epochs, cells) {
  const filled = new Map([...epochs].map(([id, values]) => [id, filledIn(values)]));
  let [lo, hi] = [Infinity, -Infinity];
  for (const values of filled.values())
    for (const value of values) if (Number.isFinite(value)) [lo, hi] = [Math.min(lo, value), Math.max(hi, value)];
  const missing = lines.filter(({ id }) => !filled.get(id)?.some(Number.isFinite)).map(({ id }) => id);
  if (!(hi >= lo)) return { x0: 0, width: 1, lines: [], missing };
  const width = (hi - lo || 1) / Math.max(1, cells - 1);
  const kept = lines.filter(({ id }) => !missing.includes(id));
  return { x0: lo, width, missing, lines: kept.map((line) => placed(line, filled.get(line.id), { lo, width, cells })) };
}

const JOIN = { min: Math.min, max: Math.max, nan: (a, b) => a + b, pos_inf: (a, b) => a + b, neg_inf: (a, b) => a + b };

function placed({ id, stats }, epochs, { lo, width, cells }) {
  const out = {};
  for (const [stat, values] of Object.entries(stats)) {
    const join = JOIN[stat] ?? ((_, newer) => newer);
    const cellsOut = new Float32Array(cells).fill(NaN);
    for (let cell = 0; cell < values.length; cell += 1) {
      const at = Math.round((epochs[cell] - lo) / width);
      if (Number.isNaN(values[cell]) || !(at >= 0 && at < cells)) continue;
      cellsOut[at] = Number.isNaN(cellsOut[at]) ? values[cell] : join(cellsOut[at], values[cell]);
    }
    out[stat] = cellsOut;
  }
  return { id, stats: out };
}

// Between two epochs that a run logged, its steps are spread evenly.
function filledIn(values) {
  const out = Array.from(values);
  let last = -1;
  for (let cell = 0; cell < out.length; cell += 1) {
    if (!Number.isFinite(out[cell])) continue;
    for (let gap = last + 1; gap < cell; gap += 1)
      out[gap] = last < 0 ? out[cell] : out[last] + ((out[cell] - out[last]) * (gap - last)) / (cell - last);
    last = cell;
  }
  for (let gap = last + 1; last >= 0 && gap < out.length; gap += 1) out[gap] = out[last];
  return out;
}
