/** The table of runs: only the rows in view are in the page, however many there are. */

import { api } from "../api.js";
import { fill, h, perFrame } from "../dom.js";
import { lostBadge, statusBadge, tagChips } from "../parts/badges.js";
import { editable, tagChange } from "../parts/edit.js";
import { age, duration, value, whole } from "../pure/format.js";
import { formatRoute } from "../pure/route.js";
import { rowsInView } from "../pure/windowing.js";

const ROW_PX = 40;
const FIXED = [
  { name: "name", label: "Name", sort: "name" },
  { name: "status", label: "Status", sort: "status" },
  { name: "project", label: "Project", sort: "project" },
  { name: "tags", label: "Tags" },
  { name: "notes", label: "Notes" },
  { name: "created", label: "Started", sort: "created" },
  { name: "steps", label: "Last step", sort: "steps", isNumber: true },
];

export class RunTable {
  /** @param {HTMLElement} host @param {{state: any, pages: any, shell: any, changed: () => void, sortBy: (name: string) => void}} parts */
  constructor(host, parts) {
    Object.assign(this, parts);
    this.host = host;
    this.drawSoon = perFrame(() => this.drawRows());
    this.body = h("tbody", { on: { keydown: (event) => this.key(event) } });
    this.head = h("thead");
    this.table = h("table", { class: "runs", "aria-label": "Runs" }, this.head, this.body);
    this.frame = h("div", { class: "frame", tabindex: "0", role: "region", "aria-label": "Runs, scrollable", on: { scroll: this.drawSoon } }, this.table);
    this.resize = new ResizeObserver(this.drawSoon);
    this.resize.observe(this.frame);
    this.shown = "";
  }

  close() {
    this.resize.disconnect();
  }

  /** Draw the head and the rows in view. */
  draw() {
    if (this.frame.parentNode !== this.host) fill(this.host, this.frame);
    this.table.setAttribute("aria-rowcount", String(this.pages.total + 1));
    this.drawHead();
    this.shown = "";
    this.drawRows();
  }

  columns() {
    const chosen = [...new Set([...(this.state.columns ?? []), ...(this.isField(this.state.group) ? [] : [this.state.group])])].filter(Boolean);
    return chosen.map((name) => ({ name, label: name, sort: name, isValue: true }));
  }

  isField(name) {
    return ["", "project", "group", "status"].includes(name);
  }

  drawHead() {
    const all = this.isAllChosen();
    const box = h("input", { type: "checkbox", checked: all, "aria-label": "Choose all runs that are loaded", on: { change: (event) => this.chooseAll(event.target.checked) } });
    const cells = [...FIXED, ...this.columns()].map((column) => this.headCell(column));
    fill(this.head, h("tr", { "aria-rowindex": "1" }, h("th", { class: "tickcell" }, box), cells));
  }

  headCell({ name, label, sort, isNumber, isValue }) {
    const { state } = this;
    const way = state.sort === sort ? "ascending" : state.sort === `-${sort}` ? "descending" : null;
    const mark = way === "ascending" ? " ↑" : way === "descending" ? " ↓" : "";
    const kind = isNumber || isValue ? "number" : `col-${name}`;
    if (!sort) return h("th", { class: kind, scope: "col" }, label);
    const button = h("button", { type: "button", class: "sort", on: { click: () => this.sortBy(sort) } }, label, h("span", { "aria-hidden": "true" }, mark));
    return h("th", { class: kind, scope: "col", "aria-sort": way, title: isValue ? name : null }, button);
  }

  isAllChosen() {
    return this.pages.rows.size > 0 && [...this.pages.rows.values()].every((run) => this.state.chosen.has(run.id));
  }

  chooseAll(isOn) {
    for (const run of this.pages.rows.values()) this.choose(run.id, isOn);
    this.changed();
    this.draw();
  }

  choose(id, isOn) {
    if (isOn) this.state.chosen.add(id);
    else this.state.chosen.delete(id);
  }

  range() {
    const headPx = this.head.offsetHeight;
    const { scrollTop, clientHeight } = this.frame;
    return rowsInView({ top: Math.max(0, scrollTop - headPx), height: clientHeight, rowPx: ROW_PX, total: this.pages.total });
  }

  async drawRows() {
    const range = this.range();
    this.drawRange(range);
    try {
      if (await this.pages.have(range)) {
        this.shown = "";
        this.drawRange(this.range());
      }
    } catch (error) {
      this.shell.say(error);
    }
  }

  drawRange({ first, last }) {
    const key = `${first}-${last}`;
    if (key === this.shown || this.body.querySelector(".editing")) return;
    this.shown = key;
    const focused = focusedPlace(this.body);
    const width = FIXED.length + this.columns().length + 1;
    const rows = [spacer(first, width)];
    for (let index = first; index < last; index += 1) rows.push(this.row(index, width));
    rows.push(spacer(this.pages.total - last, width));
    fill(this.body, rows);
    restoreFocus(this.body, focused);
  }

  row(index, width) {
    const run = this.pages.at(index);
    if (!run) return h("tr", { class: "waiting", "aria-rowindex": index + 2 }, h("td", { colspan: width }, "…"));
    const isChosen = this.state.chosen.has(run.id);
    const tick = h("input", {
      type: "checkbox", checked: isChosen, "aria-label": `Choose ${run.name || run.id}`,
      on: { change: (event) => {
        this.choose(run.id, event.target.checked);
        event.target.closest("tr").classList.toggle("chosen", event.target.checked);
        this.changed();
      } },
    });
    const heading = this.groupHeading(run, index);
    return h("tr", { class: `${isChosen ? "chosen" : ""}${heading !== null ? " first-of-group" : ""}`, "aria-rowindex": index + 2, data: { run: run.id } },
      h("td", { class: "tickcell" }, tick), this.nameCell(run, heading), this.plainCells(run), this.columns().map(({ name }) => h("td", { class: "number", title: value(run.values?.[name]) }, value(run.values?.[name]))));
  }

  groupHeading(run, index) {
    const { group } = this.state;
    if (!group) return null;
    const of = (other) => value(this.isField(group) ? other[group] : other.values?.[group]);
    const before = this.pages.at(index - 1);
    return index > 0 && before && of(before) === of(run) ? null : of(run);
  }

  nameCell(run, heading) {
    const link = h("a", { href: formatRoute("run", {}, run.id), title: `${run.name || run.id} (${run.id})` }, run.name || run.id);
    return h("td", { class: "col-name" }, heading !== null && h("span", { class: "group-name", title: `${this.state.group}: ${heading}` }, heading), link);
  }

  plainCells(run) {
    const isOver = run.status !== "running" && run.updated_ms;
    const started = age(run.created_ms);
    return [
      h("td", { class: "col-status" }, statusBadge(run.status), lostBadge(run.lost_items)),
      h("td", { class: "col-project", title: run.project }, run.project),
      this.editCell(run, "tags"),
      this.editCell(run, "notes"),
      h("td", { class: "col-created", title: isOver ? `ran for ${duration((run.updated_ms - run.created_ms) / 1000)}` : null }, started),
      h("td", { class: "number" }, whole(run.last_step)),
    ];
  }

  editCell(run, field) {
    const cell = h("td", { class: `col-${field}` });
    const host = h("div", { class: "cell" });
    cell.append(host);
    const isTags = field === "tags";
    let current = run;
    editable(host, {
      label: `${field} of ${run.name || run.id}`,
      hint: isTags ? "tags, with commas between" : "a note",
      text: () => (isTags ? (current.tags ?? []).join(", ") : current.notes ?? ""),
      shown: () => h("span", { class: "text", title: isTags ? null : current.notes }, isTags ? tagChips(current.tags) : current.notes ?? ""),
      save: async (text) => {
        const change = isTags ? tagChange(current.tags ?? [], text) : { notes: text };
        current = { ...current, ...(await api.edit(run.id, change)) };
        this.pages.replace(current);
      },
    });
    return cell;
  }

  /** Up and down go to the same control of the next run. */
  key(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || event.target.matches("input:not([type=checkbox]), textarea")) return;
    const here = focusedPlace(this.body);
    const next = event.target.closest("tr")?.[way > 0 ? "nextElementSibling" : "previousElementSibling"];
    if (!here || !next?.dataset.run) return;
    event.preventDefault();
    controls(next)[here.control]?.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

const controls = (row) => [...row.querySelectorAll("input, a, button")];

function spacer(count, width) {
  if (count <= 0) return null;
  const row = h("tr", { class: "spacer", "aria-hidden": "true" }, h("td", { colspan: width }));
  row.firstChild.style.height = `${count * ROW_PX}px`;
  return row;
}

function focusedPlace(body) {
  const row = document.activeElement?.closest?.("tr[data-run]");
  return row && body.contains(row) ? { run: row.dataset.run, control: controls(row).indexOf(document.activeElement) } : null;
}

function restoreFocus(body, place) {
  if (!place || body.contains(document.activeElement)) return;
  const row = [...body.children].find((candidate) => candidate.dataset.run === place.run);
  if (row) controls(row)[place.control]?.focus({ preventScroll: true });
}
