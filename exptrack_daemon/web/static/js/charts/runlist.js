/** The runs that are drawn: each with its line's look; shown or not, pointed at, taken out, others put in. */

import { api } from "../api.js";
import { fill, h } from "../dom.js";
import { statusBadge } from "../parts/badges.js";
import { menu, tickList } from "../parts/menu.js";
import { formatRoute } from "../pure/route.js";
import { swatch } from "./swatch.js";

export class RunList {
  /**
   * @param {HTMLElement} host
   * @param {{runs: () => any[], hidden: Set<string>, order: Map<string, number>, changed: () => void, point: (id: string|null) => void, put: (ids: string[]) => void}} parts
   */
  constructor(host, parts) {
    this.host = host;
    this.parts = parts;
    this.list = h("ul", { class: "runlist" });
    this.note = h("p", { class: "muted" });
    const all = h("button", { type: "button", class: "quiet", on: { click: () => this.showAll() } }, "All / none");
    fill(host, h("div", { class: "row between" }, h("h2", {}, "Runs"), all), this.list, this.note, this.adder());
  }

  draw(note) {
    const { hidden, order } = this.parts;
    fill(this.note, note);
    fill(this.list, this.parts.runs().map((run) => {
      const box = h("input", { type: "checkbox", checked: !hidden.has(run.id), "aria-label": `Draw ${run.name || run.id}`, on: { change: (event) => this.toggle(run.id, event.target.checked) } });
      const link = h("a", { href: formatRoute("run", {}, run.id), title: `${run.name || run.id} (${run.id})` }, run.name || run.id);
      const out = h("button", { type: "button", class: "quiet out", "aria-label": `Take ${run.name || run.id} out`, title: "Take out", on: { click: () => this.parts.put(this.parts.runs().map(({ id }) => id).filter((id) => id !== run.id)) } }, "×");
      const status = run.status === "finished" ? null : statusBadge(run.status);
      const on = { mouseenter: () => this.parts.point(run.id), mouseleave: () => this.parts.point(null), focusin: () => this.parts.point(run.id), focusout: () => this.parts.point(null) };
      return h("li", { data: { run: run.id }, on }, box, swatch(order.get(run.id) ?? 0), link, status, out);
    }));
  }

  toggle(id, isShown) {
    if (isShown) this.parts.hidden.delete(id);
    else this.parts.hidden.add(id);
    this.parts.changed();
  }

  showAll() {
    const { hidden, runs } = this.parts;
    const isAny = hidden.size > 0;
    hidden.clear();
    if (!isAny) for (const { id } of runs()) hidden.add(id);
    this.parts.changed();
  }

  /** Mark the run that a chart points at. */
  mark(id) {
    for (const row of this.list.children) row.classList.toggle("pointed", row.dataset.run === id);
  }

  adder() {
    return menu("Add runs", async (panel, close) => {
      const { runs } = await api.runs({ limit: 100, sort: "-created" });
      const now = this.parts.runs().map(({ id }) => id);
      const ticked = new Set(now);
      const labels = new Map(runs.map((run) => [`${run.name || run.id} · ${run.id.slice(-6)}`, run]));
      tickList(panel, {
        names: [...labels].map(([name, run]) => ({ name, note: run.project })),
        ticked: new Set([...labels].filter(([, run]) => ticked.has(run.id)).map(([label]) => label)),
        words: "No runs yet.",
        change: (label, isOn) => (isOn ? ticked.add(labels.get(label).id) : ticked.delete(labels.get(label).id)),
      });
      const apply = () => {
        close();
        this.parts.put([...now.filter((id) => ticked.has(id)), ...[...ticked].filter((id) => !now.includes(id))]);
      };
      panel.append(h("button", { type: "button", class: "primary", on: { click: apply } }, "Draw these"));
    });
  }
}
