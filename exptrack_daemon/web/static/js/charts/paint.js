/** What is painted beside uPlot's lines: min–max bands, marks of values that are no numbers, one highlighted line. */

import { isDark, lookOf, themeColour } from "../pure/colours.js";

const BAND_ALPHA = 0.16;
const VEIL_ALPHA = 0.68;

function clipped(chart, paint) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  paint(ctx);
  ctx.restore();
}

/** From least to most in each cell, where both were fetched. */
export function drawBands(chart, plot) {
  if (!plot.drawn.some(({ stats }) => stats.min)) return;
  clipped(chart, (ctx) => {
    ctx.globalAlpha = BAND_ALPHA;
    for (const { id, stats } of plot.drawn) {
      ctx.fillStyle = lookOf(plot.look.order.get(id) ?? 0, isDark()).stroke;
      ctx.beginPath();
      tracedBand(ctx, chart, plot, stats);
      ctx.fill();
    }
  });
}

function tracedBand(ctx, chart, { data, look }, stats) {
  const floor = look.isLog ? chart.scales.y.min : -Infinity;
  const filled = [];
  for (let cell = 0; cell < stats.min.length; cell += 1) if (stats.max[cell] > floor) filled.push(cell);
  const y = (value) => chart.valToPos(Math.max(value, floor), "y", true);
  const x = (cell) => chart.valToPos(data.xs[cell], "x", true);
  filled.forEach((cell, at) => (at ? ctx.lineTo(x(cell), y(stats.max[cell])) : ctx.moveTo(x(cell), y(stats.max[cell]))));
  for (let at = filled.length - 1; at >= 0; at -= 1) ctx.lineTo(x(filled[at]), y(stats.min[filled[at]]));
}

/** A red line and a triangle wherever a value was NaN or infinite; at most one in three pixels. */
export function drawMarks(chart, { data, marks }) {
  if (!marks.total) return;
  const { top, height } = chart.bbox;
  const size = 5 * devicePixelRatio;
  clipped(chart, (ctx) => {
    ctx.fillStyle = ctx.strokeStyle = themeColour("mark");
    ctx.lineWidth = devicePixelRatio;
    let last = -Infinity;
    for (const cell of [...marks.perCell.keys()].sort((a, b) => a - b)) {
      const x = chart.valToPos(data.xs[cell], "x", true);
      if (x - last < 3 * devicePixelRatio) continue;
      last = x;
      ctx.globalAlpha = 0.35;
      ctx.beginPath();
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + height);
      ctx.stroke();
      ctx.globalAlpha = 1;
      ctx.beginPath();
      ctx.moveTo(x - size, top);
      ctx.lineTo(x + size, top);
      ctx.lineTo(x, top + size * 1.6);
      ctx.fill();
    }
  });
}

/** One line, thick, over a veil on all others, on a canvas of its own; an index below 0 clears it. */
export function drawHighlight(canvas, chart, plot, index) {
  const { width, height } = chart.bbox;
  if (index < 0) {
    if (canvas.width) canvas.width = 0;
    return;
  }
  canvas.width = width;
  canvas.height = height;
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = themeColour("panel");
  ctx.globalAlpha = VEIL_ALPHA;
  ctx.fillRect(0, 0, width, height);
  ctx.globalAlpha = 1;
  const { stroke, dash } = lookOf(plot.look.order.get(plot.drawn[index].id) ?? 0, isDark());
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 2.5 * devicePixelRatio;
  ctx.setLineDash(dash.map((part) => part * devicePixelRatio));
  ctx.lineJoin = "round";
  ctx.beginPath();
  const values = chart.data[index + 1];
  let isFirst = true;
  for (let cell = 0; cell < values.length; cell += 1) {
    if (values[cell] === null) continue;
    const x = chart.valToPos(plot.data.xs[cell], "x", true) - chart.bbox.left;
    const y = chart.valToPos(values[cell], "y", true) - chart.bbox.top;
    if (isFirst) ctx.moveTo(x, y);
    else ctx.lineTo(x, y);
    isFirst = false;
  }
  ctx.stroke();
}
