/** Elements from plain values. Text only ever becomes text nodes, so nothing that a run says can become markup. */

const SAFE_LINK = /^(https?:|\/|#)/i;

/**
 * Make an element: `h("a", {href, class: "x", on: {click}}, "text", child, [more])`.
 * Attributes that are null, undefined or false are left out. There is no way to hand in markup or styles.
 * @param {string} tag
 * @param {Object<string, any>} [attributes]
 * @param {...any} children nodes, texts, numbers, lists of them; null and false are left out
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(made, name, value);
  made.append(...flat(children));
  return made;
}

function set(made, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on") {
    for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
  } else if (name === "data") {
    Object.assign(made.dataset, value);
  } else if (name === "value" || name === "checked" || name === "disabled" || name === "open") {
    made[name] = value;
  } else if (name === "href" && !SAFE_LINK.test(String(value))) {
    made.setAttribute("title", "This link is not shown: it is neither http nor https");
  } else if (!name.startsWith("on") && name !== "style" && name !== "srcdoc") {
    made.setAttribute(name, value === true ? "" : String(value));
  }
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** A sentence with `commands` in it, as nodes. */
export function sentenceNodes(text) {
  return String(text).split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/** Replace what an element holds. */
export function fill(host, ...children) {
  host.replaceChildren(...flat(children));
  return host;
}

/** Call at most once per frame, with the newest arguments. */
export function perFrame(act) {
  let asked = 0;
  let latest = [];
  return (...values) => {
    latest = values;
    if (asked) return;
    asked = requestAnimationFrame(() => {
      asked = 0;
      act(...latest);
    });
  };
}

/** Call once things have been quiet for `quietMs`. */
export function afterQuiet(quietMs, act) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), quietMs);
  };
}

/** Call so often at most while it is asked for; never put off by being asked again. */
export function atMostEvery(waitMs, act) {
  let timer = 0;
  return () => {
    timer ||= setTimeout(() => {
      timer = 0;
      act();
    }, waitMs);
  };
}

/** Offer a text as a download. */
export function download(name, text, type = "text/plain") {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
