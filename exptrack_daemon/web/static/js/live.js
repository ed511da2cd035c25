/** Hears what changed in the home, by asking with a cursor: see `pure/polling.js` for when. */

import { api } from "./api.js";
import { nextPollMs } from "./pure/polling.js";

export class Live {
  constructor() {
    this.cursor = "";
    this.failures = 0;
    this.running = new Set();
    this.listeners = new Set();
    this.timer = 0;
    document.addEventListener("visibilitychange", () => this.seen());
  }

  /** Be told the runs that changed: `[{id, version, last_step, status}]`. Returns how to stop. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Ask now, and from now on. `allMayDiffer` is called when another server answers than the one before. */
  start(allMayDiffer) {
    this.allMayDiffer = allMayDiffer;
    this.ask();
  }

  /** What is on the page was just fetched anew. */
  forget() {
    this.cursor = "";
  }

  /** The page is looked at again: what was missed is asked for at once. */
  seen() {
    clearTimeout(this.timer);
    if (document.visibilityState === "visible") this.ask();
  }

  again() {
    clearTimeout(this.timer);
    const waitMs = nextPollMs({
      isVisible: document.visibilityState === "visible",
      isRunning: this.running.size > 0,
      failures: this.failures,
    });
    if (waitMs !== null) this.timer = setTimeout(() => this.ask(), waitMs);
  }

  async ask() {
    try {
      const news = await api.changes(this.cursor);
      this.failures = 0;
      if (news) this.take(news);
    } catch {
      this.failures += 1; // the notice on the page comes from `onAnswer`
    }
    this.again();
  }

  take(news) {
    const isFirst = this.cursor === "";
    this.cursor = news.cursor;
    if (news.is_all) this.running.clear();
    for (const run of news.runs) {
      if (run.status === "running") this.running.add(run.id);
      else this.running.delete(run.id);
    }
    if (isFirst) return;
    if (news.is_all) return void this.allMayDiffer();
    if (!news.runs.length) return;
    for (const listener of this.listeners) listener(news.runs);
  }
}
