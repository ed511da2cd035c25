/** What stands above the charts: search, x axis, smoothing, scales, zoom, layouts. */

import { fill, h } from "../dom.js";
import { menu } from "../parts/menu.js";
import { place } from "../pure/format.js";

const LAYOUTS = "exptrack.layouts";
const X_AXES = [["step", "Step"], ["relative", "Time since start"], ["time", "Wall time"], ["epoch", "Epoch"]];

/**
 * @param {any} state the page's
 * @param {{search: () => void, view: () => void, look: () => void, address: () => string}} changed
 */
export function controls(state, changed) {
  const press = (label, title, get, set) => {
    const button = h("button", { type: "button", title, "aria-pressed": String(get()), on: { click: () => {
      set(!get());
      button.setAttribute("aria-pressed", String(get()));
    } } }, label);
    return button;
  };
  const search = h("input", { type: "search", value: state.q, placeholder: "Search: loss|acc", "aria-label": "Search metrics; a regular expression works", on: { input: (event) => { state.q = event.target.value; changed.search(); } } });
  const axis = h("select", { "aria-label": "x axis", on: { change: (event) => { state.x = event.target.value; state.zoom = null; changed.view(); } } }, X_AXES.map(([value, label]) => h("option", { value }, label)));
  axis.value = state.x;
  const shownWeight = h("output", {}, state.smoothing.toFixed(2));
  const smoothing = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: state.smoothing, "aria-label": "Smoothing", on: { input: (event) => {
    state.smoothing = Number(event.target.value);
    fill(shownWeight, state.smoothing.toFixed(2));
    changed.look();
  } } });
  const zoom = h("span", { class: "row" });
  const bar = h("div", { class: "tools sticky" }, search, h("label", { class: "inline" }, "x ", axis), h("label", { class: "inline" }, "Smoothing ", smoothing, shownWeight),
    press("Log y", "Logarithmic y axes", () => state.isLog, (on) => { state.isLog = on; changed.look(); }),
    press("Fit all", "Let a few values far from all others set the scale, too", () => !state.isRobust, (on) => { state.isRobust = !on; changed.look(); }),
    press("System", "Metrics of the machine, by time since the run's start", () => state.isSystem, (on) => { state.isSystem = on; changed.search(); }),
    layoutsMenu(changed.address), zoom);

  function drawZoom() {
    fill(zoom, state.zoom && h("button", { type: "button", class: "primary", on: { click: () => { state.zoom = null; changed.view(); } } }, `${place(state.zoom[0], state.x)} – ${place(state.zoom[1], state.x)} ×`));
  }
  drawZoom();
  return { bar, drawZoom };
}

function stored() {
  try {
    return JSON.parse(localStorage.getItem(LAYOUTS) ?? "{}");
  } catch {
    return {};
  }
}

function layoutsMenu(address) {
  return menu("Layouts", (panel, close) => {
    const layouts = stored();
    const keep = (next) => localStorage.setItem(LAYOUTS, JSON.stringify(next));
    const name = h("input", { "aria-label": "Name of the layout", placeholder: "Name" });
    const save = () => {
      if (!name.value.trim()) return name.focus();
      keep({ ...layouts, [name.value.trim()]: address() });
      close();
    };
    name.addEventListener("keydown", (event) => event.key === "Enter" && save());
    const rows = Object.entries(layouts).map(([layout, hash]) => h("li", {}, h("a", { href: String(hash).startsWith("#/charts") ? hash : "#/charts" }, layout),
      h("button", { type: "button", class: "quiet", "aria-label": `Forget ${layout}`, on: { click: (event) => {
        delete layouts[layout];
        keep(layouts);
        event.target.closest("li").remove();
      } } }, "×")));
    panel.append(h("p", { class: "muted" }, "The address holds all that is shown here: send it, or keep it under a name in this browser."),
      h("div", { class: "row" }, name, h("button", { type: "button", on: { click: save } }, "Keep")), h("ul", { class: "layouts" }, rows));
  });
}
