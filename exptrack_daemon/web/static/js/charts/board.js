/** The grid of chart cards with their data: cards come and go, one view and one zoom hold for all. */

import { api } from "../api.js";
import { perFrame } from "../dom.js";
import { byEpoch } from "../pure/epochs.js";
import { Card } from "./card.js";
import { CardGrid } from "./grid.js";
import { cellsFor, keyOf, SeriesStore } from "./series.js";

export class Board {
  /**
   * @param {HTMLElement} host
   * @param {{state: any, order: Map<string, number>, names: Map<string, string>, point: (id: string|null) => void, zoomed: () => void, toggle: (group: string) => void, fail: (error: Error) => void}} page
   */
  constructor(host, page) {
    this.page = page;
    this.names = page.names;
    this.epochMetric = null;
    this.runs = [];
    this.store = new SeriesStore((wanted, signal) => api.charts(wanted, signal), (key, lines, error) => this.deliver(key, lines, error));
    this.grid = new CardGrid(host, {
      make: (metric) => this.make(metric),
      key: keyOf,
      toggle: page.toggle,
      resized: () => this.runs.length && this.look(this.runs),
    });
    this.pointSoon = perFrame((id) => {
      this.highlight(id);
      page.point(id);
    });
    this.zoomSoon = perFrame((zoom) => {
      page.state.zoom = zoom;
      page.zoomed();
    });
    document.addEventListener("exptrack:theme", (this.themed = () => this.redraw()));
  }

  close() {
    document.removeEventListener("exptrack:theme", this.themed);
    this.store.forget();
    this.grid.close();
  }

  /** Cards of these groups, from now on. */
  set(groups) {
    this.grid.set(groups);
  }

  make(metric) {
    const card = new Card(metric, {
      look: () => this.looks(),
      names: this.names,
      zoom: (lo, hi, x) => this.zoom(lo, hi, x),
      reset: () => this.zoomSoon(null),
      point: (id) => this.pointSoon(id),
    });
    card.begin = () => this.want(metric);
    const destroy = card.destroy.bind(card);
    card.destroy = () => {
      this.store.leave(metric);
      destroy();
    };
    return card;
  }

  want(metric) {
    if (!this.runs.length) return;
    if (this.isByEpoch(metric)) this.store.want(this.epochMetric);
    this.store.want(metric);
  }

  isByEpoch(metric) {
    return this.page.state.x === "epoch" && this.epochMetric && !metric.is_system;
  }

  looks() {
    const { state, order } = this.page;
    return { order, hidden: state.hidden, smoothing: state.smoothing, isLog: state.isLog, isRobust: state.isRobust, zoom: state.zoom };
  }

  /** A drag in one chart: all are drawn at the new window at once, and again when finer cells are here. */
  zoom(lo, hi, x) {
    if (x !== this.page.state.x) return;
    const isWhole = x === "step";
    const zoom = isWhole ? [Math.floor(lo), Math.max(Math.floor(lo) + 1, Math.ceil(hi))] : [lo, hi];
    this.zoomSoon(zoom);
  }

  /** Look at these runs, through the page's axis and window. */
  look(runs) {
    this.runs = runs;
    const { x, zoom } = this.page.state;
    const cells = cellsFor(this.grid.widthPx || 400, runs.length);
    const isEpoch = x === "epoch";
    const [lo, hi] = zoom && !isEpoch ? zoom.map((edge) => Math.round(edge)) : [null, null];
    const isNew = this.store.look({ runs, x: isEpoch ? "step" : x, lo, hi, cells });
    if (isEpoch) this.redraw(); // a window of epochs is cut from what is here
    if (!isNew) return;
    for (const card of this.grid.cards.values()) {
      if (card.plot.chart && zoom) card.plot.rescaleTo(zoom);
      card.begin();
    }
  }

  deliver(key, lines, error) {
    const epoch = this.epochMetric && this.page.state.x === "epoch";
    for (const card of this.grid.cards.values()) {
      const isOwn = keyOf(card.metric) === key;
      if (isOwn || (epoch && key === keyOf(this.epochMetric))) this.give(card, isOwn ? lines : this.store.frames.get(keyOf(card.metric)), isOwn ? error : null);
    }
  }

  give(card, lines, error) {
    if (error || !lines) {
      if (error) card.show(null, error);
      return;
    }
    if (!this.isByEpoch(card.metric)) return card.show(lines, null);
    const epochs = this.store.frames.get(keyOf(this.epochMetric));
    if (!epochs || epochs.width !== lines.width) return;
    const shift = (lines.x0 - epochs.x0) / lines.width;
    const byRun = new Map(epochs.lines.map(({ id, stats }) => [id, Array.from(lines.xs, (_, cell) => stats.mean[cell + shift] ?? NaN)]));
    const { x0, width, lines: placed } = byEpoch(lines.lines, byRun, lines.xs.length);
    const xs = lines.xs.map((_, cell) => x0 + cell * width);
    card.show({ ...lines, x: "epoch", x0, width, xs, extent: [xs[0], xs[xs.length - 1]], lines: placed }, null);
  }

  /** Runs that are shown have news. */
  refresh(changed, sinceStartMs) {
    const keys = new Set([...this.grid.cards.values()].map((card) => keyOf(card.metric)));
    if (this.page.state.x === "epoch" && this.epochMetric) keys.add(keyOf(this.epochMetric));
    this.store.refresh(changed, keys, sinceStartMs);
    for (const card of this.grid.cards.values()) if (!card.data) card.begin();
  }

  /** The same data in other looks. */
  redraw() {
    for (const card of this.grid.cards.values()) card.draw();
  }

  highlight(id) {
    for (const card of this.grid.cards.values()) card.highlight(id);
  }
}
