/** Boxes of a page: a heading with a table, a list, or words. */

import { fill, h } from "../dom.js";
import { bytes, value } from "../pure/format.js";

const SEARCHED = 12;

/** A box with a heading. */
export function box(title, ...content) {
  return h("section", { class: "panelbox" }, h("h2", {}, title), content);
}

/** A name that may go on in the next line behind its separators. */
function breakable(name) {
  return name.split(/(?<=[/_.])/).flatMap((part) => [part, h("wbr")]);
}

/** Names and values; with a search where there are many. */
export function valuesTable(label, rows, said = (_, given) => value(given)) {
  const body = h("tbody");
  const draw = (search) => fill(body, rows.filter(([name]) => name.toLowerCase().includes(search.toLowerCase())).map(([name, given]) => h("tr", {}, h("th", { scope: "row" }, breakable(name)), h("td", { class: typeof given === "number" ? "number" : null }, said(name, given)))));
  draw("");
  const search = rows.length > SEARCHED && h("input", { type: "search", placeholder: `Search ${rows.length}`, "aria-label": `Search ${label}`, on: { input: (event) => draw(event.target.value) } });
  return [search, h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": label }, h("table", { class: "values" }, body))];
}

/** A value of the sampler: bytes in their units, also those of a second. */
export function sampled(name, given) {
  if (typeof given !== "number" || !Number.isFinite(given) || !/(^|[/_])bytes(_|$)/.test(name)) return value(given);
  return /_per_s$/.test(name) ? `${bytes(given)}/s` : bytes(given);
}

/** A table with named columns: `[title, row => content, isNumber]`. */
export function plainTable(label, columns, rows) {
  const heads = columns.map(([title, , isNumber]) => h("th", { scope: "col", class: isNumber ? "number" : null }, title));
  const body = rows.map((row) => h("tr", {}, columns.map(([, content, isNumber]) => h("td", { class: isNumber ? "number" : null }, content(row)))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, body)));
}
