/** Charts of many runs: cards by metric, live, with one zoom for all. */

import { api } from "../api.js";
import { afterQuiet, atMostEvery, fill, h, perFrame } from "../dom.js";
import { Board } from "../charts/board.js";
import { controls } from "../charts/controls.js";
import { MediaSection } from "../charts/media.js";
import { RunList } from "../charts/runlist.js";
import { findRuns, namesOf } from "../runs/known.js";
import { counted } from "../pure/format.js";
import { byPrefix, matcher } from "../pure/metrics.js";
import { formatRoute, idsOf } from "../pure/route.js";

const FIRST_RUNS = 10;
const MOST_RUNS = 100;

/** @type {(main: HTMLElement, route: any, shell: any) => () => void} */
export function chartsPage(main, route, shell) {
  const { params } = route;
  const state = {
    q: params.q ?? "", x: params.x ?? "step", smoothing: Math.min(0.99, Number(params.smooth) || 0), isLog: params.log === "1", isRobust: params.all !== "1",
    isSystem: params.system === "1", zoom: zoomOf(params), hidden: new Set(idsOf(params.hidden)), closed: new Set((params.closed ?? "").split("|").filter(Boolean)),
  };
  let ids = idsOf(params.runs).slice(0, MOST_RUNS);
  const isChosen = ids.length > 0;
  let runs = [];
  let missing = [];
  let metrics = [];
  const order = new Map();

  const gridHost = h("div");
  const side = h("aside", { class: "side panelbox", "aria-label": "Runs in these charts" });
  const count = h("p", { class: "muted count", role: "status" });
  const mediaHost = h("div");
  let media = null;
  const board = new Board(gridHost, { state, order, names: new Map(), point: (id) => list.mark(id), zoomed: () => viewChanged(), toggle: (group) => toggle(group), fail: (error) => shell.say(error) });
  const list = new RunList(side, { runs: () => runs, hidden: state.hidden, order, changed: () => { list.draw(note()); lookChanged(); }, point: (id) => board.highlight(id), put });
  const bar = controls(state, { search: afterQuiet(120, () => { keep(); drawGrid(); }), view: viewChanged, look: perFrame(() => lookChanged()), address });

  function address() {
    const { q, x, smoothing, isLog, isRobust, isSystem, zoom, hidden, closed } = state;
    return formatRoute("charts", {
      runs: ids.join(","), q, x: x === "step" ? "" : x, smooth: smoothing || "", log: isLog ? 1 : "", all: isRobust ? "" : 1, system: isSystem ? 1 : "",
      lo: zoom?.[0] ?? "", hi: zoom?.[1] ?? "", hidden: [...hidden].join(","), closed: [...closed].join("|"),
    });
  }

  const keepSoon = afterQuiet(150, () => shell.keep(address()));
  function keep() {
    keepSoon();
  }

  function put(next) {
    ids = next.slice(0, MOST_RUNS);
    location.hash = address();
  }

  function toggle(group) {
    if (!state.closed.delete(group)) state.closed.add(group);
    keep();
    drawGrid();
  }

  function lookChanged() {
    keep();
    board.redraw();
  }

  function viewChanged() {
    keep();
    bar.drawZoom();
    board.look(ids);
  }

  function drawGrid() {
    const fits = matcher(state.q);
    const found = metrics.filter((metric) => fits(metric.name) && (state.isSystem || !metric.is_system));
    fill(count, `${counted(found.length, "metric")}${found.length < metrics.length ? ` of ${metrics.length}` : ""} · ${counted(runs.length, "run")}`);
    if (!found.length) {
      board.set([]);
      fill(nothing, metrics.length ? "No metric has this in its name." : "These runs have not logged a number yet. Charts appear as soon as one does.");
      nothing.hidden = false;
      return;
    }
    nothing.hidden = true;
    board.set(byPrefix(found).map((group) => ({ ...group, isOpen: !state.closed.has(group.name) })));
  }

  function note() {
    const words = [];
    if (!isChosen && runs.length) words.push(`${runs.length > 1 ? `The ${runs.length} newest runs` : "The newest run"}. Choose others on the Runs page or here.`);
    if (idsOf(params.runs).length > MOST_RUNS) words.push(`The first ${MOST_RUNS} of ${idsOf(params.runs).length}: more lines than that nobody tells apart.`);
    if (missing.length) words.push(`${counted(missing.length, "run")} of the address ${missing.length === 1 ? "is" : "are"} not here any more.`);
    if (runs.length > 6) words.push("More than six runs: lines are means, without bands.");
    return words.join(" ");
  }

  const nothing = h("p", { class: "empty", hidden: true });
  fill(main, h("div", { class: "head" }, h("h1", {}, "Charts"), count, h("span", { class: "row actions" }, compareLink())), h("div", { class: "charts" }, side, h("div", { class: "wide" }, bar.bar, nothing, gridHost, mediaHost)));

  function compareLink() {
    return h("button", { type: "button", on: { click: () => shell.go("compare", { runs: ids.join(",") }) } }, "Compare these");
  }

  start().catch((error) => shell.say(error, gridHost));

  async function start() {
    if (isChosen) ({ runs, missing } = await findRuns(ids));
    else runs = (await api.runs({ limit: FIRST_RUNS, sort: "-created" })).runs;
    ids = runs.map(({ id }) => id);
    if (!ids.length) {
      fill(main, h("h1", {}, "Charts"), h("div", { class: "empty" }, h("h2", {}, isChosen ? "These runs are not here" : "No runs yet"), h("p", {}, h("a", { href: "#/runs" }, "See all runs"))));
      return;
    }
    ids.forEach((id, index) => order.set(id, index));
    for (const [id, name] of namesOf(runs)) board.names.set(id, name);
    list.draw(note());
    await loadMetrics();
    board.look(ids);
    drawGrid();
    media = new MediaSection(mediaHost, runs.filter(({ id }) => !state.hidden.has(id)));
    await media.load();
  }

  async function loadMetrics() {
    metrics = (await api.metrics(ids)).metrics;
    board.epochMetric = metrics.find(({ name, is_system: isSystem }) => !isSystem && /(^|\/)epoch$/i.test(name)) ?? null;
  }

  const newMetrics = atMostEvery(1500, async () => {
    const before = metrics.length;
    await loadMetrics().catch(() => {}); // the notice above the page says it
    if (metrics.length !== before) drawGrid();
  });
  const stopHearing = shell.live.listen((changed) => {
    const shown = changed.filter(({ id }) => order.has(id));
    if (!shown.length) return;
    for (const { id, status } of shown) {
      const run = runs.find((one) => one.id === id);
      if (run.status !== status) {
        run.status = status;
        list.draw(note());
      }
    }
    board.refresh(shown, (id) => Date.now() - (runs.find((run) => run.id === id)?.created_ms ?? Date.now()));
    newMetrics();
    media?.grown(shown);
  });
  const themed = () => list.draw(note());
  document.addEventListener("exptrack:theme", themed);
  return () => {
    document.removeEventListener("exptrack:theme", themed);
    stopHearing();
    board.close();
    media?.close();
  };
}

function zoomOf({ lo, hi }) {
  const zoom = [Number(lo), Number(hi)];
  return lo !== undefined && hi !== undefined && zoom.every(Number.isFinite) && zoom[0] < zoom[1] ? zoom : null;
}
