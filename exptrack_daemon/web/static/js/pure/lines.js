/** What is done with a line before it is drawn: smoothing, log axes, limits, counts. Pure. */

/**
 * Exponential moving average, debiased, over cells that stand `gap` apart.
 * How much a value is forgotten goes by its distance in x, as a part of the whole extent, so that zooming
 * in changes the detail and not the amount of smoothing. Empty cells (NaN) stay empty.
 * @param {ArrayLike<number>} values
 * @param {number} weight 0 (as it is) to below 1
 * @param {number} cellPart width of a cell as a part of the extent
 * @returns {ArrayLike<number>}
 */
export function smoothed(values, weight, cellPart) {
  if (!(weight > 0)) return values;
  const out = new Float32Array(values.length).fill(NaN);
  const perCell = Math.min(0.9999, weight) ** Math.max(cellPart * 1000, 1e-6);
  let [sum, mass, last] = [0, 0, -1];
  for (let cell = 0; cell < values.length; cell += 1) {
    const value = values[cell];
    if (!Number.isFinite(value)) continue;
    const decay = perCell ** (last < 0 ? 1 : cell - last);
    sum = decay * sum + (1 - decay) * value;
    mass = decay * mass + (1 - decay);
    out[cell] = mass > 0 ? sum / mass : value;
    last = cell;
  }
  return out;
}

/** For uPlot: empty cells as null; with `isLog` also what a logarithm does not take. */
export function drawable(values, isLog = false) {
  const out = new Array(values.length);
  for (let cell = 0; cell < values.length; cell += 1) {
    const value = values[cell];
    out[cell] = Number.isFinite(value) && (!isLog || value > 0) ? value : null;
  }
  return out;
}

/** How many cells a log axis leaves out. */
export function notPositive(lines) {
  let count = 0;
  for (const values of lines) for (const value of values) if (value <= 0) count += 1;
  return count;
}

/**
 * Limits of the y axis.
 * @param {ArrayLike<number>[]} lines
 * @param {{isRobust: boolean, isLog: boolean}} how robust: the few values far from all others do not count
 * @returns {{lo: number, hi: number, outside: number}} outside: values beyond the limits
 */
export function yLimits(lines, { isRobust, isLog }) {
  const all = finiteOf(lines, isLog);
  if (!all.length) return { lo: isLog ? 0.1 : 0, hi: 1, outside: 0 };
  const sorted = Float64Array.from(all).sort();
  let [lo, hi] = [sorted[0], sorted[sorted.length - 1]];
  if (isRobust && sorted.length >= 20) [lo, hi] = withoutOutliers(sorted, isLog);
  const outside = isRobust ? all.reduce((n, value) => n + (value < lo || value > hi ? 1 : 0), 0) : 0;
  return { ...padded(lo, hi, isLog), outside };
}

function finiteOf(lines, isLog) {
  const all = [];
  for (const values of lines)
    for (const value of values) if (Number.isFinite(value) && (!isLog || value > 0)) all.push(value);
  return all;
}

// Both ends move in only when the middle 98 % would otherwise get less than a third of the height.
function withoutOutliers(sorted, isLog) {
  const of = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const scale = isLog ? Math.log : (value) => value;
  const [least, low, high, most] = [sorted[0], of(0.01), of(0.99), sorted[sorted.length - 1]];
  const inner = scale(high) - scale(low);
  if (!(inner > 0) || scale(most) - scale(least) <= 3 * inner) return [least, most];
  const [from, to] = isLog ? [low / 2, high * 2] : [low - inner * 0.25, high + inner * 0.25];
  return [Math.max(least, from), Math.min(most, to)];
}

function padded(lo, hi, isLog) {
  if (isLog) return lo === hi ? { lo: lo / 2, hi: hi * 2 } : { lo: lo / 1.1, hi: hi * 1.1 };
  if (lo === hi) {
    const room = Math.abs(lo) * 0.1 || 1;
    return { lo: lo - room, hi: hi + room };
  }
  const room = (hi - lo) * 0.05;
  return { lo: lo - room, hi: hi + room };
}

/**
 * Cells with values that are no numbers, over all runs.
 * @param {{id: string, stats: Object<string, ArrayLike<number>>}[]} lines
 * @returns {{total: number, firstCell: number, runs: string[], perCell: Map<number, number>}}
 */
export function notFinite(lines) {
  const perCell = new Map();
  const runs = [];
  let [total, firstCell] = [0, -1];
  for (const { id, stats } of lines) {
    let here = 0;
    for (const stat of ["nan", "pos_inf", "neg_inf"]) {
      const counts = stats[stat];
      if (!counts) continue;
      for (let cell = 0; cell < counts.length; cell += 1) {
        if (!(counts[cell] > 0)) continue;
        here += counts[cell];
        perCell.set(cell, (perCell.get(cell) ?? 0) + counts[cell]);
        if (firstCell < 0 || cell < firstCell) firstCell = cell;
      }
    }
    if (here) runs.push(id);
    total += here;
  }
  return { total, firstCell, runs, perCell };
}

/** First, last, least and most of a line, from its cells. */
export function factsOf(stats) {
  const means = stats.mean ?? stats.last;
  let [first, last, least, most, filled] = [NaN, NaN, NaN, NaN, 0];
  for (let cell = 0; cell < means.length; cell += 1) {
    if (!Number.isFinite(means[cell])) continue;
    filled += 1;
    if (Number.isNaN(first)) first = means[cell];
    last = means[cell];
    const [low, high] = [stats.min?.[cell] ?? means[cell], stats.max?.[cell] ?? means[cell]];
    if (!(least <= low)) least = low;
    if (!(most >= high)) most = high;
  }
  return { first, last, least, most, filled };
}

/** The filled cell nearest to `cell`; -1 when none is near. */
export function nearestFilled(values, cell, reach = 40) {
  for (let step = 0; step <= reach; step += 1) {
    if (Number.isFinite(values[cell - step])) return cell - step;
    if (Number.isFinite(values[cell + step])) return cell + step;
  }
  return -1;
}
