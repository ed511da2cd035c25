/** One chart on a canvas: lines by uPlot, and over them bands, marks and the line that is pointed at. */

import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { isDark, lookOf, themeColour } from "../pure/colours.js";
import { duration, number, whole } from "../pure/format.js";
import { drawable, smoothed, yLimits } from "../pure/lines.js";
import { drawBands, drawHighlight, drawMarks } from "./paint.js";

const FONT = "11px system-ui, sans-serif";
const FEW_POINTS = 40;
const FEW_LINES = 6; // hairlines cost a fraction, and many thick lines hide each other

/**
 * @typedef {Object} Look
 * @property {Map<string, number>} order each run's number, for its colour and dash
 * @property {Set<string>} hidden runs that are not drawn
 * @property {number} smoothing
 * @property {boolean} isLog
 * @property {boolean} isRobust
 * @property {[number, number]|null} zoom
 */

export class Plot {
  /**
   * @param {HTMLElement} host
   * @param {{zoom: (lo: number, hi: number) => void, reset: () => void, point: (cell: number|null, spot: any) => void}} heard
   */
  constructor(host, heard) {
    this.host = host;
    this.heard = heard;
    this.chart = null;
    this.shape = "";
    this.overlay = document.createElement("canvas");
    this.overlay.className = "overlay";
    this.highlighted = null;
  }

  /** Draw lines; what was drawn before is changed, not made anew, where that is enough. */
  show(data, look, marks) {
    this.data = data;
    this.look = look;
    this.marks = marks;
    this.drawn = data.lines.filter(({ id }) => !look.hidden.has(id));
    const part = data.width / (data.extent && data.extent[1] > data.extent[0] ? data.extent[1] - data.extent[0] : data.width);
    this.values = this.drawn.map(({ stats }) => smoothed(stats.mean, look.smoothing, part));
    this.limits = yLimits(this.limitLines(), look);
    const table = [data.xs, ...this.values.map((values) => drawable(values, look.isLog))];
    const shape = `${this.drawn.map(({ id }) => id)}|${look.isLog}|${data.x}|${isDark()}`;
    if (this.chart && shape === this.shape) this.chart.setData(table);
    else this.build(table);
    this.shape = shape;
    this.drawOverlay();
  }

  limitLines() {
    const isBanded = this.look.smoothing === 0;
    return this.drawn.flatMap(({ stats }, index) => (isBanded && stats.min ? [stats.min, stats.max] : [this.values[index]]));
  }

  build(table) {
    this.destroyChart();
    const width = this.host.clientWidth || 300;
    const height = this.host.clientHeight || 190;
    this.chart = new uPlot(this.options(width, height), table, this.host);
    this.chart.over.append(this.overlay);
    this.chart.over.addEventListener("dblclick", () => this.heard.reset());
    this.chart.over.addEventListener("mouseleave", () => this.heard.point(null, null));
  }

  options(width, height) {
    const { data, look } = this;
    const dark = isDark();
    return {
      width,
      height,
      ms: 1,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => null },
        // Only the pointer's way is shared: a drag that is shared would zoom once for every chart.
        sync: { key: `exptrack-${data.x}`, scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      },
      scales: {
        x: { time: data.x === "time", range: () => this.xRange() },
        y: { distr: look.isLog ? 3 : 1, range: () => [this.limits.lo, this.limits.hi] },
      },
      axes: this.axes(),
      series: [{}, ...this.drawn.map(({ id }) => this.lineOptions(lookOf(look.order.get(id) ?? 0, dark)))],
      hooks: {
        drawAxes: [(chart) => drawBands(chart, this)],
        draw: [(chart) => drawMarks(chart, this)],
        setCursor: [(chart) => this.pointed(chart)],
        setSelect: [(chart) => this.selected(chart)],
      },
    };
  }

  lineOptions({ stroke, dash }) {
    const isSparse = (chart, index) => {
      let filled = 0;
      for (const value of chart.data[index]) if (value !== null) filled += 1;
      return filled > 0 && filled <= FEW_POINTS;
    };
    return { stroke, dash, width: this.drawn.length > FEW_LINES ? 1 : 1.5, spanGaps: true, points: { show: isSparse, size: 4, width: 1, fill: stroke } };
  }

  axes() {
    const common = { stroke: themeColour("muted"), font: FONT, grid: { stroke: themeColour("line"), width: 1 }, ticks: { show: false }, gap: 4 };
    const kind = this.data.x;
    const words = { step: whole, epoch: number, relative: (ms) => duration(ms / 1000) }[kind];
    const bottom = { ...common, size: 24, space: kind === "time" ? 70 : 64 };
    if (words) bottom.values = (_, splits) => splits.map((x) => (x === null ? "" : kind === "step" && !Number.isInteger(x) ? number(x) : words(x)));
    return [bottom, { ...common, size: 52, space: 28, values: (_, splits) => splits.map((y) => (y === null ? "" : number(y))) }];
  }

  xRange() {
    const { zoom } = this.look;
    if (zoom && !this.data.isTimed) return zoom;
    const { extent, xs, width } = this.data;
    const [lo, hi] = extent ?? [xs[0] ?? 0, xs[xs.length - 1] ?? 1];
    return hi > lo ? [lo, hi] : [lo - width, lo + width];
  }

  pointed(chart) {
    if (chart.cursor.event === null || chart.cursor.event === undefined || chart.cursor.left < 0) return;
    this.heard.point(chart.cursor.idx, { left: chart.cursor.left, top: chart.cursor.top, width: chart.over.clientWidth });
  }

  selected(chart) {
    const { left, width } = chart.select;
    if (width < 4) return;
    const [lo, hi] = [chart.posToVal(left, "x"), chart.posToVal(left + width, "x")];
    chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.heard.zoom(lo, hi);
  }

  /** Show one run before all others; the lines themselves are not drawn again. */
  highlight(id) {
    if (id === this.highlighted) return;
    this.highlighted = id;
    this.drawOverlay();
  }

  drawOverlay() {
    if (!this.chart) return;
    const index = this.drawn.findIndex(({ id }) => id === this.highlighted);
    drawHighlight(this.overlay, this.chart, this, index);
  }

  /** Show another window of what is here already, until finer cells have come. */
  rescaleTo(zoom) {
    if (this.data.isTimed) return;
    this.look = { ...this.look, zoom };
    this.chart.setData(this.chart.data);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!this.chart || !width || (width === this.chart.width && height === this.chart.height)) return;
    this.chart.setSize({ width, height });
    this.drawOverlay();
  }

  destroyChart() {
    this.chart?.destroy();
    this.chart = null;
  }
}
