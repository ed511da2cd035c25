/** Cards in groups under headings; only those in view are in the page, however many metrics there are. */

import { h, perFrame } from "../dom.js";
import { whole } from "../pure/format.js";
import { cardPlaces, placesInView } from "../pure/windowing.js";

const GAP_PX = 12;
const HEAD_PX = 42;
const CARD_PX = 286;
const NARROWEST_PX = 330;
const MARGIN_PX = 250;

export class CardGrid {
  /**
   * @param {HTMLElement} host
   * @param {{make: (item: any) => any, key: (item: any) => string, toggle: (group: string) => void, resized: (widthPx: number) => void}} parts
   */
  constructor(host, parts) {
    this.host = host;
    this.parts = parts;
    this.cards = new Map();
    this.heads = new Map();
    this.groups = [];
    this.widthPx = 0;
    this.soon = perFrame(() => this.draw());
    host.classList.add("grid");
    addEventListener("scroll", this.soon, { passive: true });
    addEventListener("resize", this.soon);
    this.resizes = new ResizeObserver(() => this.measure());
    this.resizes.observe(host);
  }

  close() {
    removeEventListener("scroll", this.soon);
    removeEventListener("resize", this.soon);
    this.resizes.disconnect();
    for (const card of this.cards.values()) card.destroy();
    this.cards.clear();
  }

  /** Show these groups from now on. */
  set(groups) {
    this.groups = groups;
    this.measure();
    this.draw();
  }

  measure() {
    const width = this.host.clientWidth;
    this.columns = Math.max(1, Math.min(6, Math.floor((width + GAP_PX) / (NARROWEST_PX + GAP_PX))));
    const card = (width - GAP_PX * (this.columns - 1)) / this.columns;
    if (Math.abs(card - this.widthPx) > 1) {
      this.widthPx = card;
      this.parts.resized(card);
      this.soon();
    }
  }

  draw() {
    const { places, height } = cardPlaces(this.groups, { columns: this.columns, cardPx: CARD_PX, gapPx: GAP_PX, headPx: HEAD_PX });
    this.host.style.height = `${height}px`;
    const top = -this.host.getBoundingClientRect().top;
    const seen = placesInView(places, top, innerHeight, MARGIN_PX);
    this.drop(seen);
    let before = null;
    for (const place of seen) before = this.put(place, before);
  }

  drop(seen) {
    const kept = new Set(seen.map((place) => this.nameOf(place)));
    for (const [name, card] of this.cards) {
      if (kept.has(name) || card.isBig) continue;
      card.destroy();
      this.cards.delete(name);
    }
    for (const [name, head] of this.heads) {
      if (kept.has(name)) continue;
      head.remove();
      this.heads.delete(name);
    }
  }

  nameOf({ kind, group, item }) {
    return kind === "head" ? `head ${group}` : `card ${this.parts.key(item)}`;
  }

  // Cards stand in the page in the order in which they are seen, for those who go by keyboard.
  put(place, before) {
    const name = this.nameOf(place);
    const element = place.kind === "head" ? this.head(name, place.item) : this.card(name, place);
    element.style.transform = `translate(${place.column * (this.widthPx + GAP_PX)}px, ${place.top}px)`;
    const wanted = before ? before.nextSibling : this.host.firstChild;
    if (element !== wanted) this.host.insertBefore(element, wanted);
    return element;
  }

  card(name, place) {
    let card = this.cards.get(name);
    if (!card) {
      card = this.parts.make(place.item);
      this.cards.set(name, card);
      this.host.append(card.element);
      card.element.style.width = `${this.widthPx}px`;
      card.begin();
    }
    card.element.style.width = `${this.widthPx}px`;
    return card.element;
  }

  head(name, group) {
    let head = this.heads.get(name);
    const button = head?.firstChild ?? h("button", { type: "button", class: "quiet", on: { click: () => this.parts.toggle(group.name) } });
    button.setAttribute("aria-expanded", String(group.isOpen));
    const label = `${group.isOpen ? "▾" : "▸"} ${group.name}`;
    if (button.dataset.label !== `${label}${group.items.length}`) {
      button.dataset.label = `${label}${group.items.length}`;
      button.replaceChildren(label, h("small", {}, ` ${whole(group.items.length)}`));
    }
    if (!head) {
      head = h("h2", { class: "group" }, button);
      this.heads.set(name, head);
    }
    return head;
  }
}
