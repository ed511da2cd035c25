/** Nested values as rows: `optimizer.lr`. Pure. */

/** @returns {[string, any][]} */
export function flatRows(values, prefix = "") {
  return Object.entries(values ?? {}).flatMap(([key, value]) => {
    const isNested = value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0;
    return isNested ? flatRows(value, `${prefix}${key}.`) : [[`${prefix}${key}`, value]];
  });
}
