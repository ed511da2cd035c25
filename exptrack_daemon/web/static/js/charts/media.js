/** Images by step, histograms over time, texts and tables of several runs, side by side. */

import { api } from "../api.js";
import { fill, h } from "../dom.js";
import { counted, value, whole } from "../pure/format.js";
import { compareNames } from "../pure/metrics.js";
import { nextMediaMs } from "../pure/polling.js";
import { drawHeat } from "./heat.js";

const MOST_RUNS = 6;
const MOST_HISTOGRAMS = 60;
const FIRST_CARDS = 12;
const WORDS = { image: "Images", figure: "Figures", histogram: "Histograms", text: "Texts", table: "Tables" };

/** All media of some runs, one card a kind and name; it grows with the runs. Nothing while they have none. */
export class MediaSection {
  /**
   * @param {HTMLElement} host
   * @param {any[]} runs
   */
  constructor(host, runs) {
    this.host = host;
    this.isCut = runs.length > MOST_RUNS;
    this.runs = runs.slice(0, MOST_RUNS);
    this.answers = new Map();
    this.cards = new Map();
    this.grid = h("div", { class: "media" });
    this.count = h("small");
    this.more = h("button", { type: "button", on: { click: () => { this.most = Infinity; this.draw(); } } });
    this.most = FIRST_CARDS;
    this.news = new Set();
    this.timer = 0;
    this.tookMs = 0;
  }

  close() {
    this.isClosed = true;
  }

  /** Ask what these runs have, and show it where it is not what is shown. */
  async load(ids = this.runs.map(({ id }) => id)) {
    const began = performance.now();
    const answers = await Promise.all(ids.map((run) => api.media({ run })));
    this.tookMs = performance.now() - began;
    const isNew = answers.some(({ total }, index) => total !== (this.answers.get(ids[index])?.total ?? 0));
    ids.forEach((id, index) => this.answers.set(id, answers[index]));
    if (isNew && !this.isClosed) this.draw();
  }

  /** Runs that have news: they are looked at soon, and once for all news until then. */
  grown(changed) {
    for (const { id } of changed) if (this.runs.some((run) => run.id === id)) this.news.add(id);
    if (!this.news.size) return;
    this.timer ||= setTimeout(async () => {
      const ids = [...this.news];
      this.news.clear();
      if (!this.isClosed) await this.load(ids).catch(() => {}); // the notice above the page says it
      this.timer = 0;
      if (!this.isClosed) this.grown([]);
    }, nextMediaMs(this.tookMs));
  }

  draw() {
    const found = grouped(this.runs, this.runs.map(({ id }) => this.answers.get(id)?.media ?? []));
    for (const { kind, name, owners } of found.slice(0, this.most)) {
      const key = `${kind} ${name}`;
      if (!this.cards.has(key)) {
        this.cards.set(key, new MediaCard(kind, name));
        this.grid.append(this.cards.get(key).element);
      }
      this.cards.get(key).give(owners);
    }
    fill(this.count, whole(found.length), this.isCut && ` of the first ${MOST_RUNS} runs shown`);
    fill(this.more, `Show ${whole(found.length - this.cards.size)} more`);
    this.more.hidden = found.length <= this.cards.size;
    if (!this.grid.isConnected) fill(this.host, h("h2", { class: "group" }, "Media ", this.count), this.grid, this.more);
  }
}

/** One card a kind and name, with what each run has of it, by step. */
function grouped(runs, lists) {
  const cards = new Map();
  lists.forEach((list, index) => {
    for (const item of list) {
      const key = `${item.kind} ${item.name}`;
      if (!cards.has(key)) cards.set(key, { kind: item.kind, name: item.name, byRun: new Map() });
      const { byRun } = cards.get(key);
      if (!byRun.has(index)) byRun.set(index, { run: runs[index], items: [] });
      byRun.get(index).items.push(item);
    }
  });
  const found = [...cards.values()];
  for (const { byRun } of found) for (const { items } of byRun.values()) items.sort((a, b) => a.step - b.step || a.number - b.number);
  return found
    .map(({ kind, name, byRun }) => ({ kind, name, owners: [...byRun.values()] }))
    .sort((a, b) => compareNames(`${a.kind} ${a.name}`, `${b.kind} ${b.name}`));
}

/** What the runs have of one kind and name: by step with a slider that follows the newest, or over time. */
class MediaCard {
  constructor(kind, name) {
    this.kind = kind;
    this.name = name;
    this.panes = new Map();
    this.chosen = null; // the step that the reader went to; null follows the newest
    this.isSeen = false;
    this.shownStep = h("output", {}, "");
    this.slider = h("input", { type: "range", min: 0, max: 0, step: 1, "aria-label": `Step of ${name}`, on: { input: () => this.choose(Number(this.slider.value)) } });
    this.body = h("div", { class: "panes" });
    const steps = kind !== "histogram" && h("label", { class: "inline" }, this.slider, this.shownStep);
    this.element = h("section", { class: `card mediacard ${kind}`, "aria-label": `${WORDS[kind] ?? kind}: ${name}` }, h("header", {}, h("h3", { title: name }, name), h("span", { class: "badge" }, WORDS[kind] ?? kind), steps), this.body);
    whenSeen(this.element, () => {
      this.isSeen = true;
      this.show();
    });
  }

  /** Its runs with their items, which may be more than before. */
  give(owners) {
    for (const { run, items } of owners) {
      if (!this.panes.has(run.id)) {
        const body = h("div", { class: "pane" });
        this.panes.set(run.id, { run, items, body, shown: null });
        this.body.append(h("figure", {}, h("figcaption", {}, run.name || run.id), body));
      }
      this.panes.get(run.id).items = items;
    }
    this.steps = [...new Set(owners.flatMap(({ items }) => items.map(({ step }) => step)))].sort((a, b) => a - b);
    this.slider.max = String(this.steps.length - 1);
    this.slider.value = String(this.chosen === null ? this.steps.length - 1 : this.steps.indexOf(this.chosen));
    this.slider.hidden = this.steps.length < 2;
    if (this.isSeen) this.show();
  }

  choose(index) {
    this.chosen = index === this.steps.length - 1 ? null : this.steps[index];
    this.show();
  }

  show() {
    const step = this.chosen ?? this.steps[this.steps.length - 1];
    fill(this.shownStep, `step ${whole(step)}`);
    for (const pane of this.panes.values()) {
      const item = this.kind === "histogram" ? pane.items[pane.items.length - 1] : itemAt(pane.items, step);
      const shown = item?.number ?? "nothing";
      if (pane.shown === shown) continue; // what stands there stays, also while a run grows
      pane.shown = shown;
      if (this.kind === "histogram") showHeat(pane, this.name);
      else showItem(pane, this.kind, item, () => pane.shown === shown);
    }
  }
}

function whenSeen(element, act) {
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    act();
  }, { rootMargin: "300px" });
  watch.observe(element);
}

/** The newest item that is not after the step. */
function itemAt(items, step) {
  let found = null;
  for (const item of items) if (item.step <= step) found = item;
  return found;
}

async function showItem({ run, body }, kind, item, isWanted) {
  if (!item) {
    fill(body, h("p", { class: "muted" }, "Nothing at this step yet."));
    return;
  }
  if (kind === "image" || kind === "figure") {
    showImage(body, run, item);
    return;
  }
  try {
    const content = await api.mediaJson(run.id, item.number);
    if (isWanted()) fill(body, kind === "text" ? h("pre", {}, content.text) : dataTable(content), at(item));
  } catch (error) {
    fill(body, h("p", { class: "bad-text" }, error.message));
  }
}

const at = (item) => h("p", { class: "muted" }, `step ${whole(item.step)}${item.caption ? ` · ${item.caption}` : ""}`);

function showImage(body, run, item) {
  const small = api.mediaUrl(run.id, item.number, 256);
  const image = h("img", { src: small, alt: item.caption || `${item.name} of ${run.name || run.id} at step ${item.step}`, loading: "lazy", width: item.width || null, height: item.height || null, on: { error: () => fill(body, h("p", { class: "bad-text" }, "This image cannot be read.")) } });
  if (item.width && item.width < 64) image.classList.add("pixels");
  fill(body, h("a", { href: api.mediaUrl(run.id, item.number), target: "_blank", rel: "noopener", title: "Open in full size" }, image), at(item));
}

function dataTable({ columns, rows }) {
  const body = rows.slice(0, 200).map((row) => h("tr", {}, row.map((cell) => h("td", {}, value(cell)))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, h("table", {}, h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)))), h("tbody", {}, body)), rows.length > 200 ? h("p", { class: "muted" }, `${whole(rows.length - 200)} more rows`) : null);
}

// Canvases keep their colours, so the maps in the page are drawn anew in those of another theme.
const drawn = new WeakMap();
document.addEventListener("exptrack:theme", () => {
  for (const canvas of document.querySelectorAll("canvas")) if (drawn.has(canvas)) drawHeat(canvas, drawn.get(canvas));
});

async function showHeat({ run, items, body }, name) {
  const step = Math.max(1, Math.ceil(items.length / MOST_HISTOGRAMS));
  const chosen = items.filter((_, index) => index % step === 0 || index === items.length - 1);
  try {
    const histograms = await Promise.all(chosen.map(async (item) => ({ step: item.step, ...(await api.mediaJson(run.id, item.number)) })));
    const canvas = h("canvas", { role: "img", "aria-label": `${name} of ${run.name || run.id}: ${counted(chosen.length, "histogram")} from step ${chosen[0].step} to ${chosen[chosen.length - 1].step}` });
    fill(body, canvas, h("p", { class: "muted" }, `${counted(items.length, "histogram")}${step > 1 ? `, every ${step}th drawn` : ""}`));
    drawHeat(canvas, histograms);
    drawn.set(canvas, histograms);
  } catch (error) {
    fill(body, h("p", { class: "bad-text" }, error.message));
  }
}
