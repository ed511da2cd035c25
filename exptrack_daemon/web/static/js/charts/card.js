/** A card: one metric's chart with its name, its words, and a table in its place on request. */

import { api } from "../api.js";
import { fill, h } from "../dom.js";
import { place } from "../pure/format.js";
import { notFinite, notPositive } from "../pure/lines.js";
import { Plot } from "./plot.js";
import { swatch } from "./swatch.js";
import { factsTable, placeOf, readout, sentence, valuesAt } from "./words.js";

const ASKED_RUNS = 8;

/** The first step at which one of the runs logged something that is no number. */
async function firstOdd(name, runs, lo, width) {
  const answers = await Promise.all(runs.slice(0, ASKED_RUNS).map((run) => api.points({ run, name, lo, hi: lo + width - 1, rank: 0 })));
  const odd = answers.flatMap(({ points }) => points.filter(({ value }) => typeof value === "string" || value === null).map(({ step }) => step));
  return odd.length ? Math.min(...odd) : null;
}

export class Card {
  /**
   * @param {{name: string, is_system: boolean}} metric
   * @param {{look: () => any, names: Map<string, string>, zoom: (lo: number, hi: number, x: string) => void, reset: () => void, point: (id: string|null) => void}} page
   */
  constructor(metric, page) {
    this.metric = metric;
    this.page = page;
    this.data = null;
    this.plotHost = h("div", { class: "plot" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.table = h("div", { class: "facts scroll", tabindex: "0", role: "region", "aria-label": `Values of ${metric.name}`, hidden: true });
    this.words = h("p", { class: "words" }, "…");
    this.mark = h("span", {});
    this.tableButton = h("button", { type: "button", class: "quiet", title: "Show as a table", "aria-label": `Show ${metric.name} as a table`, "aria-pressed": "false", on: { click: () => this.toggleTable() } }, "☰");
    this.bigButton = h("button", { type: "button", class: "quiet", title: "Large", "aria-label": `Show ${metric.name} large`, "aria-pressed": "false", on: { click: () => this.toggleBig() } }, "⤢");
    this.element = h(
      "section", { class: "card", "aria-label": metric.name, on: { keydown: (event) => event.key === "Escape" && this.isBig && this.toggleBig() } },
      h("header", {}, h("h3", { title: metric.name }, metric.name), this.mark, this.tableButton, this.bigButton),
      h("div", { class: "stage" }, this.plotHost, this.tip, this.table), this.words,
    );
    this.plot = new Plot(this.plotHost, {
      zoom: (lo, hi) => page.zoom(lo, hi, this.data.x),
      reset: page.reset,
      point: (cell, spot) => this.point(cell, spot),
    });
    this.resizes = new ResizeObserver(() => this.plot.resize());
    this.resizes.observe(this.plotHost);
  }

  get isBig() {
    return this.element.classList.contains("big");
  }

  /** Show data, or what the server said instead. */
  show(data, error) {
    if (error) {
      fill(this.words, error.message);
      this.element.classList.add("failed");
      return;
    }
    this.element.classList.remove("failed");
    this.data = data;
    this.draw();
  }

  draw() {
    if (!this.data || !this.element.isConnected) return;
    const { data } = this;
    const look = this.page.look();
    const lines = data.lines.filter(({ id }) => !look.hidden.has(id));
    const marks = notFinite(lines);
    this.plot.show(data, look, marks);
    const belowLog = look.isLog ? notPositive(this.plot.values) : 0;
    this.shown = { data, look, names: this.page.names, marks, outside: this.plot.limits.outside, belowLog };
    const words = sentence(this.shown);
    if (this.words.textContent !== words) fill(this.words, words);
    this.words.title = words;
    this.drawMark(marks);
    if (!this.table.hidden) fill(this.table, factsTable(this.metric.name, this.shown));
  }

  /** The badge names the very step: where cells hold several, the rows of the first odd cell are asked for it. */
  async drawMark(marks) {
    const show = (at) => fill(this.mark, h("span", { class: "badge bad", title: `${marks.total} values, in ${marks.runs.map((id) => this.page.names.get(id) ?? id).join(", ")}` }, `NaN/∞ at ${at}`));
    if (!marks.total) return fill(this.mark);
    const { x, x0, width } = this.data;
    const key = `${x}|${marks.firstCell}|${width}|${x0}|${marks.runs}`;
    if (this.exact?.key === key) return show(this.exact.at);
    show(placeOf(this.data, marks.firstCell));
    if (x !== "step" || width === 1) return undefined;
    const at = await firstOdd(this.metric.name, marks.runs, x0 + marks.firstCell * width, width).catch(() => null);
    if (at === null) return undefined;
    this.exact = { key, at: place(at, "step") };
    return show(this.exact.at);
  }

  point(cell, spot) {
    if (cell === null || cell === undefined || !this.data) {
      this.tip.hidden = true;
      this.page.point(null);
      return;
    }
    const values = valuesAt(this.plot, cell);
    if (!values.length) return;
    const y = this.plot.chart.posToVal(spot.top, "y");
    const nearest = values.reduce((best, other) => (Math.abs(other.value - y) < Math.abs(best.value - y) ? other : best)).id;
    const { order } = this.page.look();
    fill(this.tip, h("p", { class: "at" }, placeOf(this.data, cell)), readout(values, nearest, this.page.names, (id) => swatch(order.get(id) ?? 0)));
    this.tip.hidden = false;
    const isRight = spot.left < spot.width / 2;
    this.tip.style.left = isRight ? "auto" : "56px";
    this.tip.style.right = isRight ? "10px" : "auto";
    this.page.point(values.length > 1 ? nearest : null);
  }

  toggleTable() {
    const isTable = this.table.hidden;
    this.table.hidden = !isTable;
    this.plotHost.classList.toggle("away", isTable);
    this.tableButton.setAttribute("aria-pressed", String(isTable));
    if (isTable && this.shown) fill(this.table, factsTable(this.metric.name, this.shown));
  }

  toggleBig() {
    const isBig = this.element.classList.toggle("big");
    this.bigButton.setAttribute("aria-pressed", String(isBig));
    this.plot.resize();
  }

  highlight(id) {
    this.plot.highlight(id);
  }

  destroy() {
    this.resizes.disconnect();
    this.plot.destroyChart();
    this.element.remove();
  }
}
