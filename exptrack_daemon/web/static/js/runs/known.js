/** Runs that were seen already, so that a page need not ask for each one again. */

import { api } from "../api.js";

const known = new Map();

export function remember(runs) {
  for (const run of runs) known.set(run.id, run);
}

/**
 * The runs with these ids, in their order; those that there are not are left out.
 * @param {string[]} ids
 * @returns {Promise<{runs: any[], missing: string[]}>}
 */
export async function findRuns(ids) {
  if (ids.some((id) => !known.has(id))) remember((await api.runs({ limit: 100, sort: "-created" })).runs);
  const others = ids.filter((id) => !known.has(id));
  const asked = await Promise.allSettled(others.map((id) => api.run(id)));
  const refused = asked.find(({ status, reason }) => status === "rejected" && reason.status !== 404);
  if (refused) throw refused.reason;
  remember(asked.filter(({ status }) => status === "fulfilled").map(({ value }) => value));
  return { runs: ids.filter((id) => known.has(id)).map((id) => known.get(id)), missing: ids.filter((id) => !known.has(id)) };
}

/** A name for each run: its id's end as well, where two have one name. */
export function namesOf(runs) {
  const count = new Map();
  for (const { name } of runs) count.set(name, (count.get(name) ?? 0) + 1);
  return new Map(runs.map(({ id, name }) => [id, !name ? id : count.get(name) > 1 ? `${name} (${id.slice(-4)})` : name]));
}
