/** Numbers, times and sizes as people read them. Pure. */

const DASH = "–";
const NOT_FINITE = { NaN: "NaN", Infinity: "∞", "-Infinity": "−∞" };

/** A value of any kind as the API sends it, short. */
export function value(given) {
  if (given === null || given === undefined || given === "") return DASH;
  if (typeof given === "number") return number(given);
  if (typeof given === "string") return NOT_FINITE[given] ?? given;
  if (typeof given === "boolean") return given ? "true" : "false";
  return JSON.stringify(given);
}

/** A number with five significant digits; whole numbers with separators. */
export function number(given) {
  if (Number.isNaN(given)) return "NaN";
  if (!Number.isFinite(given)) return given > 0 ? "∞" : "−∞";
  if (Number.isInteger(given) && Math.abs(given) < 1e9) return whole(given);
  const size = Math.abs(given);
  if (size >= 1e7 || size < 1e-4) return trimmed(given.toExponential(3));
  return trimmed(given.toPrecision(5));
}

function trimmed(text) {
  const [mantissa, exponent] = text.split("e");
  const short = mantissa.includes(".") ? mantissa.replace(/0+$/, "").replace(/\.$/, "") : mantissa;
  return exponent ? `${short}e${exponent.replace("+", "")}` : short;
}

/** A count: 1,234,567. */
export function whole(given) {
  if (given === null || given === undefined) return DASH;
  return Math.round(given).toLocaleString("en-US");
}

/** "1 run", "2 runs". */
export function counted(count, one, many = `${one}s`) {
  return `${whole(count)} ${count === 1 ? one : many}`;
}

/** A span of seconds: 850 ms, 12 s, 3 m 20 s, 5 h 7 m, 2 d 3 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return DASH;
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${trimmed(s.toFixed(1))} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** How long ago, in one unit. */
export function age(ms, nowMs = Date.now()) {
  if (!ms) return DASH;
  const s = (nowMs - ms) / 1000;
  if (s < 5) return "just now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  if (s < 86400 * 60) return `${Math.floor(s / 86400)} d ago`;
  return new Date(ms).toISOString().slice(0, 10);
}

/** Date and time, local. */
export function moment(ms) {
  if (!ms) return DASH;
  const date = new Date(ms);
  const two = (part) => String(part).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Bytes in binary units. */
export function bytes(count) {
  if (count === null || count === undefined) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [size, unit] = [count, 0];
  while (size >= 1024 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${trimmed(size.toFixed(size < 10 && unit ? 1 : 0))} ${units[unit]}`;
}

/** A place on the x axis, in words; times are milliseconds. */
export function place(x, kind) {
  if (kind === "time") return moment(x);
  if (kind === "relative") return duration(x / 1000);
  if (kind === "epoch") return `epoch ${number(x)}`;
  return `step ${whole(x)}`;
}
