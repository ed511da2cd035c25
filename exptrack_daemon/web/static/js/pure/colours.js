/** A colour and a dash for each run, told apart up to fifty runs. The first half is pure. */

const LIGHT = ["#2f54d0", "#c2410c", "#0f7b5f", "#a3195b", "#7a4fd1", "#8a6d00", "#0b7a99", "#b3202c", "#4d7c0f", "#5b6270"];
const DARK = ["#8fa8ff", "#ff9d5c", "#4fd1a5", "#ff8ac2", "#c3a6ff", "#e6c84f", "#5cc8e8", "#ff8a8a", "#a9d65a", "#b6bdcb"];
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 2, 1, 2, 1, 2]];

/** Colour and dash of the n-th run. */
export function lookOf(index, isDark) {
  const palette = isDark ? DARK : LIGHT;
  return { stroke: palette[index % palette.length], dash: DASHES[Math.floor(index / palette.length) % DASHES.length] };
}

/** Whether the page is dark at the moment. */
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** A colour of the theme, as canvas understands it. */
export function themeColour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
