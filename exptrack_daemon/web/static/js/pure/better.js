/** Which way a metric is better, and who is best. Pure. -1: less is better, 1: more, 0: neither. */

const SIGNS = { "-": -1, "+": 1, 0: 0 };
const NEXT = { "-1": 1, 1: 0, 0: -1 };
const GOALS = { min: -1, max: 1 };

/** Ways as the address holds them: `-train/loss|+reward|0lr`. */
export function parseWays(text) {
  const parts = (text ?? "").split("|").filter((part) => part.length > 1 && part[0] in SIGNS);
  return new Map(parts.map((part) => [part.slice(1), SIGNS[part[0]]]));
}

/** @param {Map<string, number>} ways */
export function formatWays(ways) {
  return [...ways].map(([name, way]) => `${{ "-1": "-", 1: "+", 0: "0" }[way]}${name}`).join("|");
}

/** What the reader chose, else what the server takes from the name (`goal`). */
export function wayOf(name, goal, chosen) {
  return chosen.get(name) ?? GOALS[goal] ?? 0;
}

export function nextWay(way) {
  return NEXT[way];
}

/** The place of the best number; -1 where nobody wins, or nobody else is there. */
export function winnerOf(values, way) {
  const numbers = values.filter((given) => typeof given === "number");
  if (!way || numbers.length < 2) return -1;
  return values.indexOf(way > 0 ? Math.max(...numbers) : Math.min(...numbers));
}
