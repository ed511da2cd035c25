/* Sets the reader's own theme before the page is drawn. A plain script: also for pages that are not ours. */
(function () {
  const KEY = "exptrack.theme";
  const root = document.documentElement;

  function stored() {
    try {
      return localStorage.getItem(KEY) || "";
    } catch {
      return ""; // storage may be forbidden; the system's theme then stands
    }
  }

  function show(theme) {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    document.dispatchEvent(new CustomEvent("exptrack:theme"));
  }

  window.exptrackTheme = {
    /** The choice: "" (the system's), "light" or "dark". */
    choice: stored,
    choose(theme) {
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        /* it holds until the page is left */
      }
      show(theme);
    },
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(stored()));
  window.addEventListener("storage", (event) => event.key === KEY && show(stored()));
  show(stored());
})();
