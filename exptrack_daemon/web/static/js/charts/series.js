/** Cells of the charts in view: what is asked together in a frame goes out as one request, and stays until it is old. */

import { isSameGrid, linesOf, placesOf } from "../pure/frame.js";

const KEPT = 120;
const BOUND_CELLS = 2_000_000;
const NAMES_AT_ONCE = 24;
const NOT_FINITE = ["nan", "pos_inf", "neg_inf"];
const BANDED_RUNS = 6;

/**
 * @typedef {Object} Lines what one chart draws
 * @property {number[]} xs
 * @property {number} width
 * @property {number} x0
 * @property {[number, number]|null} extent of all data, whatever is zoomed to
 * @property {{id: string, stats: Object<string, Float32Array>}[]} lines
 * @property {number} bytes of the answer that brought it
 */

/** What is asked for, for so many runs: a band for a few, only means for many. */
export function statsFor(runs) {
  return runs <= BANDED_RUNS ? ["mean", "min", "max", ...NOT_FINITE] : ["mean", ...NOT_FINITE];
}

/** The sampler may use a name that training uses, too. */
export const keyOf = ({ name, is_system: isSystem }) => (isSystem ? `system: ${name}` : name);

/** Cells a card gets: two for each pixel at most, and a bounded number for all runs together. */
export function cellsFor(widthPx, runs) {
  const pixels = Math.ceil(Math.max(200, Math.min(widthPx, 1600)) / 100) * 100;
  return Math.max(50, Math.min(pixels, Math.floor(80_000 / Math.max(1, runs))));
}

export class SeriesStore {
  /**
   * @param {(wanted: object, signal?: AbortSignal) => Promise<any>} fetchCharts
   * @param {(key: string, lines: Lines|null, error: Error|null) => void} deliver
   */
  constructor(fetchCharts, deliver) {
    this.fetchCharts = fetchCharts;
    this.deliver = deliver;
    this.view = { runs: [], x: "step", lo: null, hi: null, cells: 400 };
    this.epoch = 0;
    this.forget();
    this.requests = 0;
    this.bytes = 0;
  }

  /** Another view: what is on its way for the old one is given up. */
  look(view) {
    if (JSON.stringify(view) === JSON.stringify(this.view)) return false;
    this.view = view;
    this.forget();
    return true;
  }

  forget() {
    this.epoch += 1;
    this.abort?.abort();
    this.abort = new AbortController();
    this.frames = new Map();
    this.wanted = new Map();
    this.flight = new Set();
  }

  /** Have a metric delivered: at once if it is here, else with the next request. */
  want(metric) {
    const key = keyOf(metric);
    const held = this.frames.get(key);
    if (held) {
      this.frames.delete(key);
      this.frames.set(key, held); // the newest is at the end
      this.deliver(key, held, null);
      return;
    }
    if (this.flight.has(key)) return;
    this.wanted.set(key, metric);
    this.sendSoon();
  }

  /** No longer in view: not worth a request. */
  leave(metric) {
    this.wanted.delete(keyOf(metric));
  }

  sendSoon() {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.send();
    }, 0);
  }

  send() {
    for (const isSystem of [false, true]) {
      const metrics = [...this.wanted.values()].filter((metric) => metric.is_system === isSystem);
      for (const some of this.portions(metrics)) this.fetch(some, this.view.runs, null);
    }
    this.wanted.clear();
  }

  portions(metrics) {
    const { runs, cells } = this.view;
    const each = runs.length * cells * statsFor(runs.length).length;
    const most = Math.max(1, Math.min(NAMES_AT_ONCE, Math.floor(BOUND_CELLS / Math.max(1, each))));
    return Array.from({ length: Math.ceil(metrics.length / most) }, (_, index) => metrics.slice(index * most, (index + 1) * most));
  }

  question(metrics, runs) {
    const { x, lo, hi, cells } = this.view;
    const isSystem = metrics[0].is_system;
    const onClock = isSystem && x === "step" ? "relative" : x; // the sampler knows no steps
    const window = onClock === x ? { lo, hi } : { lo: null, hi: null };
    return { runs, names: metrics.map(({ name }) => name), x: onClock, ...window, cells, stats: statsFor(this.view.runs.length), system: isSystem };
  }

  /** Fetch metrics of some runs; with a window, into the grid that is here. */
  async fetch(metrics, runs, window) {
    const { epoch } = this;
    for (const metric of metrics) this.flight.add(keyOf(metric));
    try {
      this.requests += 1;
      const frame = await this.fetchCharts({ ...this.question(metrics, runs), ...window }, this.abort.signal);
      if (epoch !== this.epoch) return;
      this.bytes += frame.bytes;
      for (const metric of metrics) {
        this.flight.delete(keyOf(metric));
        const at = frame.names.indexOf(metric.name);
        if (window) this.merge(metric, frame, at);
        else this.hold(metric, fromFrame(frame, at));
      }
    } catch (error) {
      if (error.name === "AbortError" || epoch !== this.epoch) return;
      for (const metric of metrics) {
        this.flight.delete(keyOf(metric));
        if (!window) this.deliver(keyOf(metric), null, error);
      }
    }
  }

  hold(metric, lines) {
    const key = keyOf(metric);
    this.frames.set(key, { ...lines, metric, isTimed: metric.is_system && this.view.x === "step" });
    if (this.frames.size > KEPT) this.frames.delete(this.frames.keys().next().value);
    this.deliver(key, this.frames.get(key), null);
  }

  /** New cells of the changed runs: into the same grid, or all anew when the grid has grown. */
  merge(metric, frame, at) {
    const held = this.frames.get(keyOf(metric));
    if (!held || at < 0) return;
    if (!isSameGrid(held, frame) || frame.cells < held.xs.length) {
      this.fetch([metric], this.view.runs, null);
      return;
    }
    const newer = new Map(linesOf(frame, at).map((line) => [line.id, line]));
    const lines = held.lines.map((line) => newer.get(line.id) ?? longer(line, frame.cells));
    this.hold(metric, { ...held, xs: placesOf(frame), lines, extent: joined(held.extent, frame.extent) });
  }

  /**
   * Some runs have news: fetch those of them that are shown, for the charts in view; forget the rest.
   * @param {{id: string, last_step: number}[]} changed
   * @param {Set<string>} keysInView
   * @param {(id: string) => number} sinceStartMs how long a run has been running
   */
  refresh(changed, keysInView, sinceStartMs) {
    const shown = changed.filter(({ id }) => this.view.runs.includes(id));
    if (!shown.length) return;
    for (const key of [...this.frames.keys()]) if (!keysInView.has(key)) this.frames.delete(key);
    const many = shown.length * 2 > this.view.runs.length;
    const ids = many ? this.view.runs : shown.map(({ id }) => id);
    for (const held of byGrid(this.frames)) {
      const metrics = held.map(({ metric }) => metric).filter((metric) => !this.flight.has(keyOf(metric)));
      for (const some of this.portions(metrics)) this.fetch(some, ids, this.windowOf(held[0], shown, sinceStartMs));
    }
  }

  // The window is that of the grid that is here, and as far as the news can reach: so the cells keep their width.
  windowOf({ x, x0, extent }, changed, sinceStartMs) {
    if (this.view.lo !== null && x === this.view.x) return {};
    const end = extent ? extent[1] : x0;
    const reached = { step: (run) => run.last_step ?? end, relative: (run) => sinceStartMs(run.id), time: () => Date.now() }[x];
    return { lo: x0, hi: Math.max(end, ...changed.map(reached)) };
  }
}

function byGrid(frames) {
  const grids = new Map();
  for (const lines of frames.values()) {
    const key = `${lines.metric.is_system}|${lines.x}|${lines.x0}|${lines.width}|${lines.extent?.[1]}`;
    if (!grids.has(key)) grids.set(key, []);
    grids.get(key).push(lines);
  }
  return grids.values();
}

function fromFrame(frame, at) {
  const lines = at < 0 ? [] : linesOf(frame, at);
  return { x: frame.x, xs: placesOf(frame), width: frame.width, x0: frame.x0, extent: frame.extent, lines, bytes: frame.bytes };
}

function longer({ id, stats }, cells) {
  const grow = (values) => {
    const grown = new Float32Array(cells).fill(NaN);
    grown.set(values);
    return grown;
  };
  return { id, stats: Object.fromEntries(Object.entries(stats).map(([stat, values]) => [stat, values.length < cells ? grow(values) : values])) };
}

function joined(a, b) {
  if (!a || !b) return a ?? b;
  return [Math.min(a[0], b[0]), Math.max(a[1], b[1])];
}
