/** Metrics by prefix and by search. Pure. */

/** A test for names: a regular expression where it is one, else "contains"; both without case. */
export function matcher(search) {
  const text = search.trim();
  if (!text) return () => true;
  try {
    const pattern = new RegExp(text, "i");
    return (name) => pattern.test(name);
  } catch {
    return (name) => name.toLowerCase().includes(text.toLowerCase());
  }
}

/** Up to the last slash: `train/loss` stands under `train`. */
export function prefixOf(name) {
  const at = name.lastIndexOf("/");
  return at > 0 ? name.slice(0, at) : "";
}

/**
 * Groups for cards: metrics without a prefix first, then by name, the system's and our own last.
 * @param {{name: string, is_system: boolean}[]} metrics
 * @returns {{name: string, items: any[]}[]}
 */
export function byPrefix(metrics) {
  const groups = new Map();
  for (const metric of metrics) {
    const name = metric.is_system ? `System: ${prefixOf(metric.name) || "node"}` : prefixOf(metric.name) || "Metrics";
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(metric);
  }
  return [...groups]
    .map(([name, items]) => ({ name, items: items.sort((a, b) => compareNames(a.name, b.name)) }))
    .sort((a, b) => rank(a) - rank(b) || compareNames(a.name, b.name));
}

function rank(group) {
  if (group.items[0].is_system) return 3;
  if (group.name === "exptrack" || group.name.startsWith("exptrack/")) return 2;
  return group.name === "Metrics" ? 0 : 1;
}

const collator = new Intl.Collator("en", { numeric: true });

/** `layer2` before `layer10`. */
export function compareNames(a, b) {
  return collator.compare(a, b);
}
