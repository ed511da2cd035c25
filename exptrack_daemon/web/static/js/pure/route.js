/** Addresses of pages: `#/charts?runs=a,b&x=step`, `#/run/ID`. Pure. */

/**
 * @param {string} hash
 * @returns {{page: string, rest: string, params: Object<string, string>}}
 */
export function parseRoute(hash) {
  const [path, query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const [page, ...rest] = path.split("/");
  const params = Object.fromEntries(new URLSearchParams(query));
  return { page: page || "runs", rest: decoded(rest.join("/")), params };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a page; parameters that are empty are left out. */
export function formatRoute(page, params = {}, rest = "") {
  const kept = Object.entries(params).filter(([, text]) => text !== "" && text !== null && text !== undefined);
  const query = new URLSearchParams(kept).toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
  return `#/${page}${rest ? `/${encodeURIComponent(rest)}` : ""}${query ? `?${query}` : ""}`;
}

/** A comma-separated list of run ids. */
export function idsOf(text) {
  return (text ?? "").split(",").filter(Boolean);
}
