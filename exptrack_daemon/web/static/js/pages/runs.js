/** All runs: search, filter, sort, columns, tags and notes, and what is chosen for charts and comparison. */

import { api } from "../api.js";
import { afterQuiet, fill, h } from "../dom.js";
import { menu, tickList } from "../parts/menu.js";
import { counted } from "../pure/format.js";
import { formatRoute, idsOf } from "../pure/route.js";
import { RunPages } from "../runs/pages.js";
import { RunTable } from "../runs/table.js";

const FIRST_COLUMNS = 3;
const MOST_CHARTED = 100;

/** @type {(main: HTMLElement, route: any, shell: any) => () => void} */
export function runsPage(main, route, shell) {
  const state = {
    q: route.params.q ?? "",
    filter: route.params.filter ?? "",
    sort: route.params.sort ?? "-created",
    group: route.params.group ?? "",
    columns: route.params.columns === undefined ? null : idsOf(route.params.columns),
    chosen: new Set(idsOf(route.params.chosen)),
  };
  let known = { summary: [], config: [] };
  const pages = new RunPages((params) => api.runs(params));
  const count = h("p", { class: "muted count", role: "status" });
  const trouble = h("p", { class: "bad-text", role: "alert", id: "filter-words" });
  const actions = h("div", { class: "row actions" });
  const body = h("div", { class: "list" });
  const table = new RunTable(body, { state, pages, shell, changed: () => changed(), sortBy });

  function keep() {
    const { q, filter, sort, group, columns, chosen } = state;
    shell.keep(formatRoute("runs", { q, filter, sort: sort === "-created" ? "" : sort, group, columns: columns?.join(",") ?? "", chosen: [...chosen].join(",") }));
  }

  function changed() {
    keep();
    drawActions();
  }

  function sortBy(name) {
    const first = ["name", "status", "project"].includes(name) ? name : `-${name}`;
    const turned = first === name ? `-${name}` : name;
    state.sort = state.sort === first ? turned : first;
    load();
  }

  async function load() {
    keep();
    const columns = [...new Set([...(state.columns ?? []), state.group].filter(Boolean))];
    const sort = state.group ? state.group : state.sort;
    pages.reset({ q: state.q, filter: state.filter, sort, columns: columns.join(",") });
    try {
      await pages.load(0);
      fill(trouble);
      filterField.removeAttribute("aria-invalid");
    } catch (error) {
      if (error.status === 400) {
        fill(trouble, error.message);
        filterField.setAttribute("aria-invalid", "true");
      } else shell.say(error, body);
      return;
    }
    draw();
  }

  function draw() {
    fill(count, counted(pages.total, "run"));
    if (pages.total === 0) fill(body, state.q || state.filter ? nothingFound() : nothingYet());
    else table.draw();
    drawActions();
  }

  function drawActions() {
    const ids = [...state.chosen];
    const go = (page) => shell.go(page, { runs: ids.slice(0, MOST_CHARTED).join(",") });
    fill(
      actions,
      h("span", { class: "muted hint" }, ids.length ? `${ids.length} chosen` : "Tick runs to draw and compare them."),
      h("button", { type: "button", class: "primary", disabled: ids.length === 0, on: { click: () => go("charts") } }, "Charts"),
      h("button", { type: "button", disabled: ids.length < 2, on: { click: () => go("compare") } }, "Compare"),
      ids.length > 0 && h("button", { type: "button", class: "quiet", on: { click: forget } }, "Clear"),
    );
  }

  function forget() {
    state.chosen.clear();
    changed();
    table.draw();
  }

  const soon = afterQuiet(200, load);
  const searchField = h("input", {
    type: "search", value: state.q, "aria-label": "Search runs", placeholder: "Search names, tags, notes",
    on: { input: (event) => { state.q = event.target.value; soon(); } },
  });
  const filterField = h("input", {
    type: "search", class: "filter", value: state.filter, "aria-label": "Filter runs", "aria-describedby": "filter-words", spellcheck: "false",
    placeholder: "Filter: loss<0.1 and tag:baseline and status=finished",
    on: { input: (event) => { state.filter = event.target.value; afterTyping(); } },
  });
  const afterTyping = afterQuiet(400, load);

  const columnsMenu = menu("Columns", async (panel) => {
    await ready;
    const ticked = new Set(state.columns ?? []);
    const names = [...known.summary.map(({ name, runs }) => ({ name, note: counted(runs, "run") })), ...known.config.map(({ name, runs }) => ({ name: configName(name), note: counted(runs, "run") }))];
    tickList(panel, { names, ticked, words: "No run has logged anything yet.", change: (name, isOn) => {
      state.columns = isOn ? [...(state.columns ?? []), name] : (state.columns ?? []).filter((other) => other !== name);
      load();
    } });
  });
  const groupSelect = h("select", { "aria-label": "Group by", on: { change: (event) => { state.group = event.target.value; load(); } } });

  function drawGroups() {
    const options = [["", "No groups"], ["project", "Project"], ["group", "Group"], ["status", "Status"], ...known.config.map(({ name }) => [configName(name), `Config: ${name}`])];
    fill(groupSelect, options.map(([value, label]) => h("option", { value }, label)));
    groupSelect.value = state.group;
  }

  fill(
    main,
    h("div", { class: "head" }, h("h1", {}, "Runs"), count, actions),
    h("div", { class: "tools" }, searchField, filterField, h("label", { class: "inline" }, "Group by ", groupSelect), columnsMenu),
    trouble,
    body,
  );
  drawGroups();
  drawActions();
  const ready = start();

  async function start() {
    const first = load();
    try {
      known = await api.columns();
      state.columns ??= known.summary.filter(({ name }) => !name.startsWith("exptrack/")).slice(0, FIRST_COLUMNS).map(({ name }) => name);
      drawGroups();
      await first;
      if (state.columns.length) await load();
    } catch (error) {
      shell.say(error, body);
    }
  }

  const stopHearing = shell.live.listen(afterQuiet(150, async () => {
    try {
      if (pages.total === 0) return await load();
      await pages.again(table.range());
      fill(count, counted(pages.total, "run"));
      table.draw();
    } catch { /* the notice above the page says it */ }
  }));
  return () => {
    stopHearing();
    table.close();
  };
}

const configName = (name) => (name.startsWith("config.") ? name : `config.${name}`);

function nothingFound() {
  return h("div", { class: "empty" }, h("h2", {}, "No run is like this"), h("p", {}, "Take something out of the search or of the filter."));
}

function nothingYet() {
  const lines = 'import exptrack_agent as xt\nwith xt.init(project="mnist") as run:\n    run.log({"loss": 0.12}, step=1)';
  return h(
    "div", { class: "empty" },
    h("h2", {}, "No runs yet"),
    h("p", {}, "Three lines in a training script are enough; the run appears here within a second:"),
    h("pre", {}, h("code", {}, lines)),
    h("p", { class: "muted" }, "Or look around first: ", h("code", {}, "exptrack demo"), " trains a small network with everything on."),
  );
}
