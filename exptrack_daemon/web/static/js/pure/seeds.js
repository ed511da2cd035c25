/** Runs that differ only in their seed belong together. Pure. */

const SEED = /(^|[._/])(random_?)?seed$/i;

/**
 * @param {{id: string, name: string, flat: [string, any][]}[]} runs
 * @returns {{label: string, runs: any[]}[]} in the order of their first run
 */
export function grouped(runs) {
  const groups = new Map();
  for (const run of runs) {
    const settings = run.flat.filter(([name]) => !SEED.test(name)).sort(([a], [b]) => (a < b ? -1 : 1));
    const hasSeed = settings.length < run.flat.length;
    const key = hasSeed ? JSON.stringify(settings) : run.id;
    if (!groups.has(key)) groups.set(key, { runs: [], settings });
    groups.get(key).runs.push(run);
  }
  const found = [...groups.values()];
  return found.map((group) => ({ label: labelOf(group, found), runs: group.runs }));
}

/** What sets a group apart from the others, in a few words. */
function labelOf({ runs, settings }, groups) {
  const differs = ([name, value]) => groups.some((other) => {
    const there = other.settings.find(([otherName]) => otherName === name);
    return JSON.stringify(there?.[1]) !== JSON.stringify(value);
  });
  const words = settings.filter(differs).slice(0, 3).map(([name, value]) => `${name.split(".").pop()} ${value}`);
  return words.join(", ") || runs[0].name || runs[0].id;
}

/** Mean and sample standard deviation (null of a single one) of what is finite, and how many; null for nothing. */
export function spread(values) {
  const finite = values.filter((value) => typeof value === "number" && Number.isFinite(value));
  if (!finite.length) return null;
  const mean = finite.reduce((sum, value) => sum + value, 0) / finite.length;
  const squares = finite.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: finite.length > 1 ? Math.sqrt(squares / (finite.length - 1)) : null, count: finite.length };
}
