/** A chart in words: one sentence, the values under the pointer, and a table for those who do not see it. */

import { h } from "../dom.js";
import { number, place, whole } from "../pure/format.js";
import { factsOf, nearestFilled } from "../pure/lines.js";

const NAMED_RUNS = 2;
const READ_OUT = 9;

/**
 * What a chart shows, as a sentence.
 * @param {{data: any, look: any, names: Map<string, string>, marks: any, outside: number, belowLog: number}} shown
 */
export function sentence({ data, look, names, marks, outside, belowLog }) {
  const lines = data.lines.filter(({ id, stats }) => !look.hidden.has(id) && factsOf(stats).filled > 0);
  if (!lines.length && !marks.total) return "No values here.";
  const said = lines.length ? [lastValues(lines, names, data.width > 1 && data.x === "step")] : [];
  if (marks.total) said.unshift(`${whole(marks.total)} NaN or infinite, first at ${placeOf(data, marks.firstCell)}`);
  if (outside) said.push(`${whole(outside)} off the scale`);
  if (belowLog) said.push(`${whole(belowLog)} at or below 0 left out`);
  return `${said.join(" · ")}.`;
}

function lastValues(lines, names, isAbout) {
  const about = isAbout ? "≈ " : "";
  const lasts = lines.map(({ id, stats }) => ({ name: names.get(id) ?? id, last: factsOf(stats).last }));
  if (lasts.length <= NAMED_RUNS) return `Last ${about}${lasts.map(({ name, last }) => (lasts.length > 1 ? `${number(last)} (${name})` : number(last))).join(", ")}`;
  lasts.sort((a, b) => a.last - b.last);
  const [least, most] = [lasts[0], lasts[lasts.length - 1]];
  return `${lasts.length} runs, last ${about}${number(least.last)} (${least.name}) to ${number(most.last)} (${most.name})`;
}

/** Where a cell is; its first step when it holds one step, else from where on. */
export function placeOf(data, cell) {
  const start = data.x0 + cell * data.width;
  const exact = data.x !== "step" || data.width === 1;
  return `${exact ? "" : "about "}${place(exact ? data.xs[cell] : Math.max(start, data.extent?.[0] ?? start), data.x)}`;
}

/** Values at a cell, highest first: `[{id, value, cell}]`. */
export function valuesAt(plot, cell) {
  const found = [];
  plot.drawn.forEach(({ id }, index) => {
    const near = nearestFilled(plot.values[index], cell);
    if (near >= 0) found.push({ id, value: plot.values[index][near], cell: near });
  });
  return found.sort((a, b) => b.value - a.value);
}

/** The values around the pointer: a few lines of a list, the nearest marked. */
export function readout(values, nearest, names, swatchOf) {
  const at = Math.max(0, values.findIndex(({ id }) => id === nearest));
  const first = Math.max(0, Math.min(at - Math.floor(READ_OUT / 2), values.length - READ_OUT));
  const rows = values.slice(first, first + READ_OUT).map(({ id, value }) => h("li", { class: id === nearest ? "nearest" : null }, swatchOf(id), h("span", { class: "name" }, names.get(id) ?? id), h("b", {}, number(value))));
  const rest = values.length - rows.length;
  return [h("ol", {}, rows), rest > 0 ? h("p", { class: "muted" }, `${rest} more`) : null];
}

/** The table view of a chart: a row a run. */
export function factsTable(name, { data, look, names }) {
  const rows = data.lines.filter(({ id }) => !look.hidden.has(id)).map(({ id, stats }) => {
    const { first, last, least, most, filled } = factsOf(stats);
    const odd = ["nan", "pos_inf", "neg_inf"].reduce((sum, stat) => sum + (stats[stat] ? total(stats[stat]) : 0), 0);
    const cells = filled ? [first, last, least, most].map(number) : ["–", "–", "–", "–"];
    return h("tr", {}, h("th", { scope: "row" }, names.get(id) ?? id), cells.map((text) => h("td", { class: "number" }, text)), h("td", { class: "number" }, whole(odd)));
  });
  const heads = ["Run", "First", "Last", "Least", "Most", "NaN, ±∞"].map((text, at) => h("th", { scope: "col", class: at ? "number" : null }, text));
  const cells = data.x === "step" && data.width > 1 ? `Means of ${whole(data.width)} steps each${data.lines[0]?.stats.min ? "; least and most are exact" : ""}.` : "";
  return h("table", {}, h("caption", {}, h("span", { class: "sr-only" }, `${name}, a row a run. `), cells), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows));
}

function total(values) {
  let sum = 0;
  for (const value of values) if (value > 0) sum += value;
  return sum;
}
