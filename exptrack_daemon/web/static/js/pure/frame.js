/** The binary answer of `charts`: u32 header length, JSON header, padding to 8, float32 [name][run][stat][cell]. Pure. */

/**
 * @typedef {Object} Frame
 * @property {string} x
 * @property {number} width width of a cell, in units of x: steps or milliseconds
 * @property {number} x0 where the first cell begins
 * @property {number} cells
 * @property {string[]} names
 * @property {{id: string, version: any}[]} runs
 * @property {string[]} stats
 * @property {[number, number]|null} extent
 * @property {Float32Array} values
 * @property {number} bytes size of the answer
 */

/**
 * @param {ArrayBuffer} buffer
 * @returns {Frame}
 */
export function decodeFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const start = Math.ceil((4 + length) / 8) * 8;
  const count = header.names.length * header.runs.length * header.stats.length * header.cells;
  if (buffer.byteLength < start + 4 * count) throw new RangeError(`a chart frame ends after ${buffer.byteLength} bytes`);
  return { ...header, values: new Float32Array(buffer, start, count), bytes: buffer.byteLength };
}

/** The cells of one statistic: a view, nothing is copied. Null when it was not asked for. */
export function cellsOf(frame, name, run, stat) {
  const at = frame.stats.indexOf(stat);
  if (at < 0) return null;
  const { cells, runs, stats } = frame;
  const start = ((name * runs.length + run) * stats.length + at) * cells;
  return frame.values.subarray(start, start + cells);
}

/** Where each cell is drawn: its middle, which for cells of one step is that step. */
export function placesOf(frame) {
  const offset = frame.x === "step" ? (frame.width - 1) / 2 : frame.width / 2;
  const places = new Array(frame.cells);
  for (let cell = 0; cell < frame.cells; cell += 1) places[cell] = frame.x0 + cell * frame.width + offset;
  return places;
}

/**
 * The lines of one metric, by run.
 * @param {Frame} frame
 * @param {number} name
 * @returns {{id: string, stats: Object<string, Float32Array>}[]}
 */
export function linesOf(frame, name) {
  return frame.runs.map((run, index) => ({
    id: run.id,
    stats: Object.fromEntries(frame.stats.map((stat) => [stat, cellsOf(frame, name, index, stat)])),
  }));
}

/** Whether a newer frame of some of the runs fits into an older one's grid. */
export function isSameGrid(older, newer) {
  return older.width === newer.width && older.x0 === newer.x0 && older.x === newer.x;
}
