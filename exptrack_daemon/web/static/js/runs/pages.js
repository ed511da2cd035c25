/** The run list in pages of a hundred, fetched as they come into view. */

import { remember } from "./known.js";

export const PAGE = 100;

export class RunPages {
  /** @param {(params: object) => Promise<{runs: any[], total: number}>} fetchPage */
  constructor(fetchPage) {
    this.fetchPage = fetchPage;
    this.reset({});
    this.total = 0;
  }

  /** Another question: nothing that was fetched counts any more. */
  reset(params) {
    this.params = params;
    this.rows = new Map();
    this.asked = new Map();
  }

  /** The run at a place in the list, or undefined while it is not here. */
  at(index) {
    return this.rows.get(index);
  }

  load(page) {
    const { asked } = this;
    if (!asked.has(page)) {
      asked.set(page, this.fetch(page));
      asked.get(page).catch(() => asked.delete(page)); // asked for again when it is looked at again
    }
    return asked.get(page);
  }

  async fetch(page) {
    const { params } = this;
    const answer = await this.fetchPage({ ...params, limit: PAGE, offset: page * PAGE });
    if (params !== this.params) return;
    this.total = answer.total;
    remember(answer.runs);
    answer.runs.forEach((run, index) => this.rows.set(page * PAGE + index, run));
  }

  /** Have the rows [first, last). Says whether something had to be fetched. */
  async have({ first, last }) {
    const wanted = [];
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) if (!this.asked.has(page)) wanted.push(page);
    await Promise.all(wanted.map((page) => this.load(page)));
    return wanted.length > 0;
  }

  /** Fetch again what is in view; the rest when it comes into view. */
  async again({ first, last }) {
    const [from, to] = [Math.floor(first / PAGE), Math.floor(Math.max(first, last - 1) / PAGE)];
    for (const page of [...this.asked.keys()]) if (page < from || page > to) this.asked.delete(page);
    await Promise.all(Array.from({ length: to - from + 1 }, (_, index) => this.fetch(from + index)));
  }

  /** Put an edited run in place of the one that was there. */
  replace(changed) {
    for (const [index, run] of this.rows) if (run.id === changed.id) this.rows.set(index, { ...run, ...pick(changed) });
  }
}

function pick({ name, tags, notes }) {
  return { name, tags, notes };
}
