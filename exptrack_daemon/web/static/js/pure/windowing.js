/** Which rows and cards are in view, of lists too long to be in the page at once. Pure. */

/** Rows of one height: first and one past last, with some on both sides. */
export function rowsInView({ top, height, rowPx, total, extra = 8 }) {
  const first = Math.max(0, Math.floor(top / rowPx) - extra);
  const last = Math.min(total, Math.ceil((top + height) / rowPx) + extra);
  return { first: Math.min(first, last), last: Math.max(first, last) };
}

/**
 * Places for cards in groups, each with a heading.
 * @param {{name: string, items: any[], isOpen: boolean}[]} groups
 * @param {{columns: number, cardPx: number, gapPx: number, headPx: number}} sizes
 * @returns {{places: {kind: "head"|"card", group: string, item: any, column: number, top: number, height: number}[], height: number}}
 */
export function cardPlaces(groups, { columns, cardPx, gapPx, headPx }) {
  const places = [];
  let top = 0;
  for (const group of groups) {
    places.push({ kind: "head", group: group.name, item: group, column: 0, top, height: headPx });
    top += headPx;
    if (!group.isOpen) continue;
    group.items.forEach((item, index) => {
      const row = Math.floor(index / columns);
      places.push({ kind: "card", group: group.name, item, column: index % columns, top: top + row * (cardPx + gapPx), height: cardPx });
    });
    top += Math.ceil(group.items.length / columns) * (cardPx + gapPx);
  }
  return { places, height: top };
}

/** The places that touch [top, top + height], with a margin on both sides. `places` go downwards. */
export function placesInView(places, top, height, margin) {
  const [from, to] = [top - margin, top + height + margin];
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle].top + places[middle].height < from) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < places.length && places[end].top <= to) end += 1;
  return places.slice(low, end);
}
