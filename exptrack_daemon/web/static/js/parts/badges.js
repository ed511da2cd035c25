/** Small marks with words: a run's status, lost rows, tags. */

import { h } from "../dom.js";
import { whole } from "../pure/format.js";

const STATUS = {
  running: ["live", "running", "It is training now"],
  finished: ["good", "finished", "It ended by itself"],
  failed: ["bad", "failed", "It ended with an error"],
  crashed: ["bad", "crashed", "Its process is gone and never said goodbye; what it logged was recovered"],
  preempted: ["warn", "preempted", "It was asked to stop by its cluster"],
  stopped: ["warn", "stopped", "Somebody stopped it"],
};

/** A run's status. */
export function statusBadge(status) {
  const [kind, words, title] = STATUS[status] ?? ["plain", status || "unknown", ""];
  return h("span", { class: `badge ${kind}`, title }, words);
}

/** Shown only when something was lost. */
export function lostBadge(items) {
  if (!items) return null;
  return h("span", { class: "badge bad", title: "Rows that were logged and could not be kept; the run page says which and why" }, whole(items), h("span", { class: "more" }, items === 1 ? " row" : " rows"), " lost");
}

/** Tags as chips. */
export function tagChips(tags) {
  return (tags ?? []).map((tag) => h("span", { class: "chip" }, tag));
}
