/** The bar on top of every page, also of those that Gradio draws: needs `theme.js`, `theme.css` and `nav.css`. */

const PAGES = [
  ["runs", "Runs", "/#/runs"],
  ["charts", "Charts", "/#/charts"],
  ["compare", "Compare", "/#/compare"],
];
const STUDIO = [
  ["configuration", "Configuration", "/ui/?tab=configuration"],
  ["training", "Training", "/ui/?tab=training"],
  ["monitoring", "Monitoring", "/ui/?tab=monitoring"],
];
const THEMES = { "": "dark", dark: "light", light: "" };
const THEME_WORDS = { "": "Theme: system", dark: "Theme: dark", light: "Theme: light" };

function element(tag, attributes, text) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

function links(current) {
  const nav = element("nav", { "aria-label": "Pages" });
  for (const [page, label, href] of [...PAGES, ...STUDIO]) {
    const link = element("a", { href, "data-page": page }, label);
    if (page === STUDIO[0][0]) link.className = "apart";
    if (page === current) link.setAttribute("aria-current", "page");
    nav.append(link);
  }
  return nav;
}

function themeSwitch() {
  const themes = window.exptrackTheme;
  const button = element("button", { type: "button", title: "Change between the system's, dark and light colours" });
  const show = () => (button.textContent = THEME_WORDS[themes.choice()]);
  button.addEventListener("click", () => {
    themes.choose(THEMES[themes.choice()]);
    show();
  });
  show();
  return button;
}

/**
 * Draw the bar into an element.
 * @param {HTMLElement} host an empty `<header>`
 * @param {string} current the page that is open
 * @returns {{select: (page: string) => void, daemon: (state: "running"|"stopped"|"gone", words: string) => void}}
 */
export function mountNav(host, current) {
  host.classList.add("bar");
  const brand = element("a", { class: "brand", href: "/#/runs", "aria-label": "exptrack: all runs" });
  brand.append(element("img", { src: "/static/favicon.svg", alt: "" }), element("span", {}, "exptrack"));
  const nav = links(current);
  const daemon = element("span", { class: "daemon" }, "…");
  host.replaceChildren(brand, nav, element("span", { class: "filler" }), daemon, themeSwitch());
  return {
    select(page) {
      for (const link of nav.children) {
        if (link.dataset.page === page) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    },
    daemon(state, words) {
      daemon.dataset.state = state;
      if (daemon.textContent !== words) daemon.textContent = words;
    },
  };
}
