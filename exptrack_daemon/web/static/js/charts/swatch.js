/** A short piece of a run's line, as in its charts. */

import { isDark, lookOf } from "../pure/colours.js";

const SVG = "http://www.w3.org/2000/svg";

export function swatch(index) {
  const { stroke, dash } = lookOf(index, isDark());
  const picture = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ class: "swatch", viewBox: "0 0 26 10", width: 26, height: 10, "aria-hidden": "true" })) picture.setAttribute(name, String(value));
  for (const [name, value] of Object.entries({ x1: 1, y1: 5, x2: 25, y2: 5, stroke, "stroke-width": 2.6, "stroke-dasharray": dash.join(" ") })) if (value !== "") line.setAttribute(name, String(value));
  picture.append(line);
  return picture;
}
