/** Images by step, histograms over time, texts and tables of several runs, side by side. */

import { api } from "../api.js";
import { fill, h } from "../dom.js";
import { counted, value, whole } from "../pure/format.js";
import { compareNames } from "../pure/metrics.js";
import { drawHeat } from "./heat.js";

const MOST_RUNS = 6;
const MOST_HISTOGRAMS = 60;
const FIRST_CARDS = 12;
const WORDS = { image: "Images", figure: "Figures", histogram: "Histograms", text: "Texts", table: "Tables" };

/**
 * Fill a section with all media of the runs; nothing when they have none.
 * @param {HTMLElement} host
 * @param {any[]} runs
 */
export async function mediaSection(host, runs) {
  const some = runs.slice(0, MOST_RUNS);
  const answers = await Promise.all(some.map((run) => api.media({ run: run.id })));
  const cards = grouped(some, answers.map(({ media }) => media));
  if (!cards.length) return;
  const grid = h("div", { class: "media" });
  const show = (count) => cards.slice(grid.childElementCount, count).forEach((card) => grid.append(mediaCard(card)));
  show(FIRST_CARDS);
  const rest = cards.length - FIRST_CARDS;
  const more = rest > 0 && h("button", { type: "button", on: { click: () => { show(cards.length); more.remove(); } } }, `Show ${rest} more`);
  const cut = runs.length > MOST_RUNS ? h("small", {}, ` of the first ${MOST_RUNS} runs shown`) : null;
  fill(host, h("h2", { class: "group" }, "Media ", h("small", {}, whole(cards.length)), cut), grid, more);
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
  return found.sort((a, b) => compareNames(`${a.kind} ${a.name}`, `${b.kind} ${b.name}`));
}

function mediaCard({ kind, name, byRun }) {
  const owners = [...byRun.values()];
  const steps = [...new Set(owners.flatMap(({ items }) => items.map(({ step }) => step)))].sort((a, b) => a - b);
  const panes = owners.map((owner) => ({ ...owner, body: h("div", { class: "pane" }) }));
  const shownStep = h("output", {}, "");
  let asked = 0;
  const show = (step) => {
    asked += 1;
    const mine = asked;
    fill(shownStep, `step ${whole(step)}`);
    for (const pane of panes) showAt(pane, kind, step, () => mine === asked);
  };
  const slider = h("input", { type: "range", min: 0, max: steps.length - 1, step: 1, value: String(steps.length - 1), "aria-label": `Step of ${name}`, on: { input: (event) => show(steps[Number(event.target.value)]) } });
  const isHeat = kind === "histogram";
  const head = h("header", {}, h("h3", { title: name }, name), h("span", { class: "badge" }, WORDS[kind] ?? kind), !isHeat && steps.length > 1 && h("label", { class: "inline" }, slider, shownStep), !isHeat && steps.length === 1 && shownStep);
  const body = panes.map(({ run, body: pane }) => h("figure", {}, h("figcaption", {}, run.name || run.id), pane));
  const card = h("section", { class: `card mediacard ${kind}`, "aria-label": `${WORDS[kind] ?? kind}: ${name}` }, head, h("div", { class: "panes" }, body));
  if (isHeat) whenSeen(card, () => panes.forEach((pane) => showHeat(pane, name)));
  else whenSeen(card, () => show(steps[steps.length - 1]));
  return card;
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

async function showAt({ run, items, body }, kind, step, isWanted) {
  const item = itemAt(items, step);
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

async function showHeat({ run, items, body }, name) {
  const step = Math.max(1, Math.ceil(items.length / MOST_HISTOGRAMS));
  const chosen = items.filter((_, index) => index % step === 0 || index === items.length - 1);
  try {
    const histograms = await Promise.all(chosen.map(async (item) => ({ step: item.step, ...(await api.mediaJson(run.id, item.number)) })));
    const canvas = h("canvas", { role: "img", "aria-label": `${name} of ${run.name || run.id}: ${counted(chosen.length, "histogram")} from step ${chosen[0].step} to ${chosen[chosen.length - 1].step}` });
    fill(body, canvas, h("p", { class: "muted" }, `${counted(items.length, "histogram")}${step > 1 ? `, every ${step}th drawn` : ""}`));
    drawHeat(canvas, histograms);
  } catch (error) {
    fill(body, h("p", { class: "bad-text" }, error.message));
  }
}
