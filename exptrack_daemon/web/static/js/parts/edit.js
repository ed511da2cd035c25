/** Text that is edited where it stands: Enter keeps it, Escape leaves it. */

import { fill, h } from "../dom.js";

/**
 * Show a value with a button that turns it into a field.
 * @param {HTMLElement} host
 * @param {{label: string, text: () => string, shown: () => any, save: (text: string) => Promise<void>, isLong?: boolean, hint?: string}} edit
 */
export function editable(host, edit) {
  const { label, text, shown, save, isLong = false, hint = "" } = edit;

  function show(focus = false) {
    const button = h("button", { class: "quiet edit", type: "button", "aria-label": `Edit ${label}`, title: `Edit ${label}`, on: { click: open } }, "✎");
    host.classList.remove("editing");
    fill(host, shown(), button);
    if (focus) button.focus();
  }

  function open() {
    const field = h(isLong ? "textarea" : "input", { value: text(), "aria-label": label, placeholder: hint, rows: isLong ? 5 : null, on: { keydown: key } });
    const keep = async () => {
      field.disabled = true;
      try {
        await save(field.value);
        show(true);
      } catch (error) {
        field.disabled = false;
        field.focus();
        fill(words, error.message);
      }
    };
    const words = h("span", { class: "bad-text", role: "alert" });
    function key(event) {
      event.stopPropagation();
      if (event.key === "Escape") show(true);
      if (event.key === "Enter" && (!isLong || event.ctrlKey || event.metaKey)) keep();
    }
    host.classList.add("editing");
    const buttons = h("span", { class: "row" }, h("button", { type: "button", class: "primary", on: { click: keep } }, "Save"), h("button", { type: "button", on: { click: () => show(true) } }, "Leave"));
    fill(host, field, buttons, words);
    field.focus();
    field.select();
  }

  show();
  return { refresh: () => host.classList.contains("editing") || show() };
}

/** The change from one list of tags to another, as the API takes it. */
export function tagChange(before, text) {
  const after = [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
  return { add_tags: after.filter((tag) => !before.includes(tag)), remove_tags: before.filter((tag) => !after.includes(tag)) };
}
