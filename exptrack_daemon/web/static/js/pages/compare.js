/** Runs beside each other: what differs in their configs, what they reached, curves and images. */

import { api } from "../api.js";
import { Board } from "../charts/board.js";
import { MediaSection } from "../charts/media.js";
import { swatch } from "../charts/swatch.js";
import { fill, h } from "../dom.js";
import { statusBadge } from "../parts/badges.js";
import { box } from "../parts/box.js";
import { flatRows } from "../parts/flat.js";
import { menu, tickList } from "../parts/menu.js";
import { formatWays, nextWay, parseWays, wayOf, winnerOf } from "../pure/better.js";
import { grouped, spread } from "../pure/seeds.js";
import { counted, number, value } from "../pure/format.js";
import { compareNames } from "../pure/metrics.js";
import { formatRoute, idsOf } from "../pure/route.js";
import { findRuns, namesOf } from "../runs/known.js";

const MOST_COLUMNS = 40;
const FIRST_CURVES = 6;
const FIRST_METRICS = 30;

/** @type {(main: HTMLElement, route: any, shell: any) => () => void} */
export function comparePage(main, route, shell) {
  const ids = idsOf(route.params.runs);
  const content = h("div");
  const ways = parseWays(route.params.better);
  let board = null;
  let media = null;
  let stopHearing = () => {};
  fill(main, h("div", { class: "head" }, h("h1", {}, "Compare"), h("span", { class: "row actions" }, ids.length > 1 && menu("Choose runs", (panel, close) => chooseRuns(panel, ids, shell, close)), ids.length > 1 && h("a", { class: "button", href: formatRoute("charts", { runs: ids.join(",") }) }, "Charts of these"))), content);
  start().catch((error) => shell.say(error, content));

  async function start() {
    const { runs, missing } = await findRuns(ids.slice(0, MOST_COLUMNS));
    if (runs.length < 2) {
      const choice = h("div");
      fill(content, h("div", { class: "narrow" }, box(runs.length ? `Compare ${runs[0].name || runs[0].id} with …` : "Which runs?", choice, h("p", { class: "muted" }, "Or tick them on the ", h("a", { href: "#/runs" }, "Runs page"), ", which searches all of them."))));
      return chooseRuns(choice, runs.map(({ id }) => id), shell);
    }
    const details = (await Promise.allSettled(runs.map((run) => api.run(run.id)))).map((result, index) => result.value ?? runs[index]);
    const compared = await api.compare(runs.map(({ id }) => id)).catch(() => null);
    const names = namesOf(runs);
    const curves = h("div");
    const mediaHost = h("div");
    const values = h("div");
    const drawValues = () => fill(values, valuesBox(details, names, compared, ways, () => {
      shell.keep(formatRoute("compare", { runs: ids.join(","), better: formatWays(ways) }));
      drawValues();
    }));
    drawValues();
    const words = [];
    if (missing.length) words.push(`${counted(missing.length, "run")} of the address ${missing.length === 1 ? "is" : "are"} not here any more.`);
    if (ids.length > MOST_COLUMNS) words.push(`The first ${MOST_COLUMNS} of ${ids.length} runs.`);
    fill(content, words.length > 0 && h("p", { class: "muted" }, words.join(" ")), values, seedsBox(details), configBox(details, names), h("h2", { class: "group" }, "Curves"), curves, mediaHost);
    await drawCurves(curves, runs, names);
    media = new MediaSection(mediaHost, runs);
    await media.load();
  }

  async function drawCurves(host, runs, names) {
    const { metrics } = await api.metrics(runs.map(({ id }) => id));
    const shared = metrics.filter(({ is_system: isSystem, runs: holders, points }) => !isSystem && holders > 1 && points > holders);
    const first = shared.filter(({ name }) => !name.startsWith("exptrack/")).slice(0, FIRST_CURVES);
    if (!first.length) {
      fill(host, h("p", { class: "empty" }, "These runs have no metric in common."));
      return;
    }
    const state = { x: "step", zoom: null, smoothing: 0, isLog: false, isRobust: true, hidden: new Set() };
    const order = new Map(runs.map(({ id }, index) => [id, index]));
    board = new Board(host, { state, order, names, point() {}, zoomed: () => board.look(runs.map(({ id }) => id)), toggle() {} });
    board.look(runs.map(({ id }) => id));
    board.set([{ name: `Common metrics${shared.length > first.length ? ` (${first.length} of ${shared.length}: see Charts for all)` : ""}`, items: first, isOpen: true }]);
    stopHearing = shell.live.listen((changed) => {
      board.refresh(changed, () => 0);
      media?.grown(changed);
    });
  }

  return () => {
    stopHearing();
    board?.close();
    media?.close();
  };
}

/** A list of the newest runs to tick, with a button that compares them. */
async function chooseRuns(host, ids, shell, close = () => {}) {
  const { runs } = await api.runs({ limit: 100, sort: "-created" });
  const labels = new Map(runs.map((run) => [`${run.name || run.id} · ${run.id.slice(-6)}`, run]));
  const ticked = new Set(ids);
  const go = h("button", { type: "button", class: "primary", disabled: ticked.size < 2, on: { click: () => { close(); shell.go("compare", { runs: [...ticked].join(",") }); } } }, "Compare these");
  tickList(host, {
    names: [...labels].map(([name, run]) => ({ name, note: run.project })), ticked: new Set([...labels].filter(([, { id }]) => ticked.has(id)).map(([label]) => label)), words: "No runs yet.",
    change: (label, isOn) => {
      if (isOn) ticked.add(labels.get(label).id);
      else ticked.delete(labels.get(label).id);
      go.disabled = ticked.size < 2;
    },
  });
  host.append(h("p", {}, go));
  if (runs.length < 2) host.append(h("p", {}, "There is no other run in this home yet."));
}

function runHeads(runs, names) {
  return runs.map((run, index) => h("th", { scope: "col", class: "runhead" }, swatch(index), " ", h("a", { href: formatRoute("run", {}, run.id) }, names.get(run.id)), h("br"), statusBadge(run.status)));
}

const WAYS = { "-1": ["↓", "less is better"], 1: ["↑", "more is better"], 0: ["·", "neither less nor more is better"] };

/** Final and best values; the best of a row stands out, by what its name says or the reader chose. */
function valuesBox(runs, names, compared, ways, changed) {
  const finals = runs.map((run) => new Map(flatRows(run.summary)));
  const metrics = [...new Set(finals.flatMap((final) => [...final.keys()]))].filter((name) => !name.startsWith("exptrack/")).sort(compareNames);
  const told = new Map((compared?.metrics ?? []).map((metric) => [metric.name, metric]));
  const places = runs.map(({ id }) => (compared?.runs ?? []).findIndex((run) => run.id === id));
  const rows = metrics.slice(0, FIRST_METRICS).map((name) => {
    const values = finals.map((final) => final.get(name));
    const metric = told.get(name);
    const way = wayOf(name, metric?.goal, ways);
    const best = way ? metric?.[way < 0 ? "min" : "max"] : null;
    const winner = winnerOf(values, way);
    const cells = values.map((given, index) => h("td", { class: `number${index === winner ? " winner" : ""}` }, value(given), typeof best?.[places[index]] === "number" && h("small", { class: "best" }, `best ${value(best[places[index]])}`)));
    return h("tr", {}, h("th", { scope: "row" }, name, metric && wayButton(name, way, ways, changed)), cells);
  });
  const rest = metrics.length > FIRST_METRICS ? h("p", { class: "muted" }, `${metrics.length - FIRST_METRICS} more metrics: see each run’s page.`) : null;
  return box("Final and best values", wideTable("Final and best values", ["Metric"], runHeads(runs, names), rows, "No values yet."), rest);
}

function wayButton(name, way, ways, changed) {
  const [sign, words] = WAYS[way];
  const change = () => {
    ways.set(name, nextWay(way));
    changed();
    document.querySelector(`[data-way="${CSS.escape(name)}"]`)?.focus();
  };
  return h("button", { type: "button", class: "quiet", data: { way: name }, title: `${words}; click to change`, "aria-label": `${name}: ${words}. Change`, on: { click: change } }, sign);
}

/** Runs that differ in their seed only, as mean ± standard deviation. */
function seedsBox(runs) {
  const groups = grouped(runs.map((run) => ({ ...run, flat: flatRows(run.config) })));
  if (!groups.some(({ runs: members }) => members.length > 1)) return null;
  const metrics = [...new Set(runs.flatMap((run) => Object.keys(run.summary ?? {})))].filter((name) => !name.startsWith("exptrack/")).sort(compareNames).slice(0, FIRST_METRICS);
  const heads = groups.map(({ label, runs: members }) => h("th", { scope: "col", class: "runhead" }, label, h("br"), h("small", {}, counted(members.length, "seed"))));
  const rows = metrics.map((name) => h("tr", {}, h("th", { scope: "row" }, name), groups.map(({ runs: members }) => {
    const found = spread(members.map((run) => run.summary?.[name]));
    return h("td", { class: "number" }, found ? spreadWords(found, members.length) : "–");
  })));
  return box("Over seeds", wideTable("Over seeds", ["Metric"], heads, rows, ""));
}

/** Of one value no deviation is known, which is not the same as none. */
function spreadWords({ mean, deviation, count }, seeds) {
  return `${number(mean)}${deviation === null ? "" : ` ± ${number(deviation)}`}${count < seeds || seeds === 1 ? ` (n = ${count})` : ""}`;
}

function configBox(runs, names) {
  const flats = runs.map((run) => new Map(flatRows(run.config)));
  const keys = [...new Set(flats.flatMap((flat) => [...flat.keys()]))].sort(compareNames);
  const text = (flat, key) => (flat.has(key) ? value(flat.get(key)) : null);
  const differing = keys.filter((key) => new Set(flats.map((flat) => text(flat, key))).size > 1);
  const same = keys.length - differing.length;
  const rows = differing.map((key) => h("tr", {}, h("th", { scope: "row" }, key), flats.map((flat) => h("td", { class: "number" }, text(flat, key) ?? h("span", { class: "muted" }, "not set")))));
  const words = keys.length ? `All ${counted(keys.length, "setting")} are the same.` : "These runs have no config.";
  return box("Config differences", wideTable("Config differences", ["Setting"], runHeads(runs, names), rows, words), differing.length > 0 && same > 0 && h("p", { class: "muted" }, `${counted(same, "other setting")} the same.`));
}

function wideTable(label, first, heads, rows, words) {
  if (!rows.length) return h("p", { class: "muted" }, words);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", { class: "wide" }, h("thead", {}, h("tr", {}, first.map((title) => h("th", { scope: "col" }, title)), heads)), h("tbody", {}, rows)));
}
