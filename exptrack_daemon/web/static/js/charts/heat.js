/** Histograms over time as a heat map: a column a step, a row a range of values, darker where more values are. */

import { themeColour } from "../pure/colours.js";
import { number, whole } from "../pure/format.js";

const ROWS = 48;
const [LEFT, BOTTOM, TOP] = [54, 20, 6];

/**
 * Counts on one common grid of values. Pure.
 * @param {{step: number, edges: number[], counts: number[]}[]} histograms
 * @param {number} rows
 * @returns {{lo: number, hi: number, columns: Float64Array[]}} each column sums to 1
 */
export function heatColumns(histograms, rows = ROWS) {
  const edges = histograms.flatMap(({ edges: some }) => some).filter(Number.isFinite);
  let lo = edges.reduce((least, edge) => Math.min(least, edge), Infinity);
  let hi = edges.reduce((most, edge) => Math.max(most, edge), -Infinity);
  if (!(hi > lo)) [lo, hi] = [(Number.isFinite(lo) ? lo : 0) - 0.5, (Number.isFinite(hi) ? hi : 0) + 0.5];
  const rowWidth = (hi - lo) / rows;
  const columns = histograms.map(({ edges: ends, counts }) => {
    const column = new Float64Array(rows);
    const total = counts.reduce((sum, count) => sum + count, 0) || 1;
    counts.forEach((count, bin) => spread(column, (ends[bin] - lo) / rowWidth, (ends[bin + 1] - lo) / rowWidth, count / total));
    return column;
  });
  return { lo, hi, columns };
}

// A bin's share goes to each row in proportion to how much of the bin lies in it.
function spread(column, from, to, share) {
  const width = Math.max(to - from, 1e-9);
  for (let row = Math.max(0, Math.floor(from)); row < Math.min(column.length, Math.ceil(to) || 1); row += 1) {
    const overlap = Math.max(0, Math.min(to, row + 1) - Math.max(from, row));
    column[row] += share * Math.min(1, overlap / width || (to === from ? 1 : 0));
  }
}

/** Draw the heat map, as large as the canvas stands in the page. */
export function drawHeat(canvas, histograms) {
  const scale = devicePixelRatio;
  const [width, height] = [canvas.clientWidth || 300, canvas.clientHeight || 190];
  [canvas.width, canvas.height] = [width * scale, height * scale];
  const ctx = canvas.getContext("2d");
  ctx.scale(scale, scale);
  const { lo, hi, columns } = heatColumns(histograms);
  const most = Math.max(...columns.map((column) => Math.max(...column)), 1e-12);
  const [cellWidth, cellHeight] = [(width - LEFT) / columns.length, (height - BOTTOM - TOP) / ROWS];
  ctx.fillStyle = themeColour("accent");
  columns.forEach((column, x) => column.forEach((share, row) => {
    if (share <= 0) return;
    ctx.globalAlpha = 0.06 + 0.94 * Math.sqrt(share / most);
    // Cells end where the next begin: overlaps would show as lines.
    const [left, right] = [x, x + 1].map((at) => Math.round((LEFT + at * cellWidth) * scale) / scale);
    const [top, bottom] = [ROWS - 1 - row, ROWS - row].map((at) => Math.round((TOP + at * cellHeight) * scale) / scale);
    ctx.fillRect(left, top, right - left, bottom - top);
  }));
  ctx.globalAlpha = 1;
  labels(ctx, { lo, hi, histograms, width, height });
}

function labels(ctx, { lo, hi, histograms, width, height }) {
  ctx.fillStyle = themeColour("muted");
  ctx.font = "11px system-ui, sans-serif";
  ctx.textAlign = "right";
  const short = (edge) => number(Number(edge.toPrecision(3))); // what fits beside the map
  ctx.fillText(short(hi), LEFT - 6, TOP + 9);
  ctx.fillText(short((lo + hi) / 2), LEFT - 6, (height - BOTTOM + TOP) / 2 + 4);
  ctx.fillText(short(lo), LEFT - 6, height - BOTTOM);
  ctx.fillText(whole(histograms[histograms.length - 1].step), width - 2, height - 5);
  ctx.textAlign = "left";
  ctx.fillText(`step ${whole(histograms[0].step)}`, LEFT, height - 5);
}
