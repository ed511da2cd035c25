/** A button that opens a panel: Escape and a click elsewhere close it, and the focus goes back to the button. */

import { fill, h } from "../dom.js";

/**
 * @param {string} label
 * @param {(panel: HTMLElement, close: () => void) => void|Promise<void>} build fills the panel each time it opens
 */
export function menu(label, build) {
  const panel = h("div", { class: "panel", role: "group", "aria-label": label, hidden: true });
  const button = h("button", { type: "button", "aria-expanded": "false", on: { click: toggle } }, label, h("span", { "aria-hidden": "true" }, " ▾"));
  const host = h("div", { class: "menu" }, button, panel);

  function toggle() {
    if (panel.hidden) open();
    else close(true);
  }
  async function open() {
    fill(panel);
    panel.hidden = false;
    button.setAttribute("aria-expanded", "true");
    panel.classList.toggle("from-right", host.getBoundingClientRect().left > innerWidth / 2);
    document.addEventListener("pointerdown", outside);
    try {
      await build(panel, () => close(true));
      panel.querySelector("input, button, select")?.focus();
    } catch (error) {
      fill(panel, h("p", { class: "bad-text", role: "alert" }, error.message));
    }
  }
  function close(focus) {
    panel.hidden = true;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside);
    if (focus) button.focus();
  }
  function outside(event) {
    if (!host.contains(event.target)) close(false);
  }
  host.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) {
      event.stopPropagation();
      close(true);
    }
  });
  return host;
}

/** A list of names to tick, with a search above it. */
export function tickList(panel, { names, ticked, change, words }) {
  const list = h("div", { class: "ticks" });
  const draw = (search) => {
    const found = names.filter(({ name }) => name.toLowerCase().includes(search.toLowerCase()));
    const rows = found.slice(0, 200).map(({ name, note }) =>
      h("label", { class: "tick" }, h("input", { type: "checkbox", checked: ticked.has(name), on: { change: (event) => change(name, event.target.checked) } }), h("span", {}, name), note ? h("small", {}, note) : null),
    );
    fill(list, rows.length ? rows : h("p", { class: "muted" }, names.length ? "Nothing has this in its name." : words));
    if (found.length > 200) list.append(h("p", { class: "muted" }, `${found.length - 200} more: search for them.`));
  };
  draw("");
  panel.append(h("input", { type: "search", "aria-label": "Search the list", placeholder: "Search", on: { input: (event) => draw(event.target.value) } }), list);
}
