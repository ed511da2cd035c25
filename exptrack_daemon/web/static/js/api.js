/** The studio's HTTP API, as functions; see docs/http-api.md. */

import { decodeFrame } from "./pure/frame.js";

const BASE = "/api/v1/";

/** What the server said no to, with its words. */
export class Refused extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Nobody answered. */
export class ServerGone extends Error {}

const heard = new Set();

/** Be told whether the server answers, whenever it was asked. */
export function onAnswer(listener) {
  heard.add(listener);
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(BASE + path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    for (const listener of heard) listener(false);
    throw new ServerGone("The studio's server does not answer.");
  }
  for (const listener of heard) listener(true);
  if (response.ok) return response;
  throw new Refused(response.status, await wordsOf(response));
}

async function wordsOf(response) {
  if (response.status === 403 || response.status === 401) {
    return "This browser is not signed in. Open the address that `exptrack ui` printed: it carries the token.";
  }
  try {
    return (await response.json()).error ?? response.statusText;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

async function json(path, options) {
  const response = await ask(path, options);
  return response.status === 204 ? null : response.json();
}

function query(path, params) {
  const kept = Object.entries(params).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return kept.length ? `${path}?${new URLSearchParams(kept)}` : path;
}

const id = encodeURIComponent;

export const api = {
  runs: (params) => json(query("runs", params)),
  columns: () => json("columns"),
  run: (run) => json(`runs/${id(run)}`),
  edit: (run, change) =>
    json(`runs/${id(run)}`, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(change) }),
  stop: (run) => json(`runs/${id(run)}/stop`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" }),
  metrics: (runs, q = "") => json(query("metrics", { runs: runs.join(","), q })),
  changes: (cursor) => json(query("changes", { cursor })),
  points: (params) => json(query("points", params)),
  media: (params) => json(query("media", params)),
  mediaJson: (run, number) => json(`media/${id(run)}/${number}`),
  mediaUrl: (run, number, max) => query(`${BASE}media/${id(run)}/${number}`, { max }),
  pictureUrl: (run, theme) => query(`${BASE}picture.png`, { run, theme }),
  compare: (runs) => json(query("compare", { runs: runs.join(",") })),
  health: () => json("health"),
  tensorboard: (method) => json("tensorboard", { method }),

  /**
   * Cells of several metrics of several runs, on one grid.
   * @param {{runs: string[], names: string[], x: string, lo: number|null, hi: number|null, cells: number, stats: string[], system?: boolean}} wanted
   */
  async charts(wanted, signal) {
    const response = await ask("charts", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/octet-stream" },
      body: JSON.stringify({ rank: 0, system: false, ...wanted }),
      signal,
    });
    return decodeFrame(await response.arrayBuffer());
  },
};
