// A window onto a long text: pieces of it are read as they are scrolled to, and dropped when they are far away, so that
// a novel costs no more than a page. Pieces begin and end at blank lines where
// there are any, so that no paragraph is torn.

import { count, indexAt } from "./codepoints.js";
import { make } from "./dom.js";
import { nodesOf } from "./marks.js";

const PIECE = 6000; // code points that are read at once: a few screens
const BEFORE = 2000; // of the first piece, before the place that is shown
const CUTS = ["\n\n", "\r\n\r\n", "\n", " "]; // where a piece may end, best first
const NEAR = 1.5; // screens that are kept filled beyond what is seen
const FAR = 6; // screens beyond which a piece is dropped

/** The text of one version of one document in a scrolling element. */
export class TextWindow {
  #box;
  #read;
  #length;
  #shown; // how its text is to be shown: see nodesOf
  #pieces = []; // {start, end, text, node}, one after the other
  #turn = 0; // who began later makes the earlier stop
  #filling = null;

  /** `read(start, end)` gives a range of the text, which has `length` code points; `pages` and `flows` as in nodesOf. */
  constructor(box, { read, length, pages, flows }) {
    this.#box = box;
    this.#read = read;
    this.#length = length;
    this.#shown = { marks: [], pages, flows };
    box.replaceChildren();
  }

  /** The code point at the top of what is seen, about. */
  get position() {
    const top = this.#box.getBoundingClientRect().top;
    for (const { start, end, node } of this.#pieces) {
      const seen = node.getBoundingClientRect();
      if (seen.bottom > top) return Math.round(start + (end - start) * Math.max(0, (top - seen.top) / seen.height));
    }
    return this.#length;
  }

  /** Mark these ranges, `{start, end, kind}`, in what is there and in what comes. */
  mark(marks) {
    this.#shown.marks = marks;
    for (const piece of this.#pieces) this.#render(piece);
  }

  /** Show a range inside the text, or with `end` at `start` a place; resolves to the first mark of it, or null. */
  async show(start, end) {
    const turn = (this.#turn += 1);
    const first = Math.max(0, start - BEFORE);
    const last = Math.min(this.#length, Math.min(end, start + PIECE) + PIECE);
    const text = await this.#read(first, last);
    if (turn !== this.#turn) return null;
    const skipped = first > 0 ? headCut(text.slice(0, indexAt(text, start - first))) : 0;
    const kept = last < this.#length ? tailCut(text, indexAt(text, end - first)) : text.length;
    const from = first + count(text.slice(0, skipped));
    this.#pieces = [];
    this.#box.replaceChildren();
    this.#add(text.slice(skipped, kept), from, "end");
    const found = this.#box.querySelector("mark.current");
    this.#scrollTo(found, start);
    await this.#fill();
    return turn === this.#turn ? found : null;
  }

  /** Read what is missing near what is seen, and drop what is far from it. */
  fill() {
    this.#filling ??= this.#fill().finally(() => {
      this.#filling = null;
    });
    return this.#filling;
  }

  /** Nothing is read any more. */
  close() {
    this.#turn += 1;
    this.#pieces = [];
  }

  async #fill() {
    for (let going = true; going; ) going = (await this.#grow("end")) || (await this.#grow("start"));
    this.#drop();
  }

  /** Add a piece where one is missing; whether one was. */
  async #grow(side) {
    const pieces = this.#pieces;
    if (pieces.length === 0 || !this.#lacks(side)) return false;
    const edge = this.#edge(side);
    const [first, last] = side === "end" ? [edge, Math.min(this.#length, edge + PIECE)] : [Math.max(0, edge - PIECE), edge];
    const text = await this.#read(first, last);
    if (pieces !== this.#pieces || edge !== this.#edge(side)) return true; // something else was shown: look again
    if (text === "") return false;
    if (side === "end") {
      this.#add(last < this.#length ? text.slice(0, tailCut(text, 0)) : text, edge, "end");
    } else {
      const kept = first > 0 ? text.slice(headCut(text)) : text;
      this.#add(kept, edge - count(kept), "start");
    }
    return true;
  }

  #edge(side) {
    return side === "end" ? this.#pieces.at(-1).end : this.#pieces[0].start;
  }

  #lacks(side) {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    if (side === "start") return this.#pieces[0].start > 0 && scrollTop < NEAR * clientHeight;
    return this.#pieces.at(-1).end < this.#length && scrollHeight - scrollTop - clientHeight < NEAR * clientHeight;
  }

  #add(text, start, side) {
    const piece = { start, end: start + count(text), text, node: make("div", { class: "piece" }) };
    this.#render(piece);
    if (side === "end") {
      this.#pieces.push(piece);
      this.#box.append(piece.node);
    } else {
      this.#pieces.unshift(piece);
      this.#keepingPlace(() => this.#box.prepend(piece.node));
    }
  }

  #render(piece) {
    piece.node.replaceChildren(...nodesOf(piece.text, piece.start, this.#shown));
  }

  #drop() {
    const { clientHeight } = this.#box;
    const box = this.#box.getBoundingClientRect();
    const isFar = ({ node }) => {
      const seen = node.getBoundingClientRect();
      return seen.bottom < box.top - FAR * clientHeight || seen.top > box.bottom + FAR * clientHeight;
    };
    while (this.#pieces.length > 1 && isFar(this.#pieces.at(-1))) this.#pieces.pop().node.remove();
    while (this.#pieces.length > 1 && isFar(this.#pieces[0])) {
      const piece = this.#pieces.shift();
      this.#keepingPlace(() => piece.node.remove());
    }
  }

  /** Change what stands above without moving what is seen. */
  #keepingPlace(change) {
    const before = this.#box.scrollHeight;
    const at = this.#box.scrollTop;
    change();
    this.#box.scrollTop = at + this.#box.scrollHeight - before;
  }

  #scrollTo(mark, start) {
    const box = this.#box.getBoundingClientRect();
    if (mark !== null) {
      this.#box.scrollTop += mark.getBoundingClientRect().top - box.top - this.#box.clientHeight / 3;
      return;
    }
    const [{ start: first, text, node }] = this.#pieces;
    const range = document.createRange();
    const [textNode, offset] = nodeAt(node, indexAt(text, start - first));
    if (textNode === null) return;
    range.setStart(textNode, offset);
    range.setEnd(textNode, Math.min(offset + 1, textNode.length)); // an empty range has no place
    const { top } = range.getBoundingClientRect();
    this.#box.scrollTop += top - box.top - 8;
  }
}

/** The text node and the offset in it of an index into an element's text. */
function nodeAt(element, index) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let left = index;
  let last = null;
  while (walker.nextNode() !== null) {
    last = walker.currentNode;
    if (left < last.length) return [last, left];
    left -= last.length;
  }
  return [last, last?.length ?? 0];
}

/** Where a piece begins whose text may lack its beginning: after the first blank line, line break or blank of its first half. */
function headCut(text) {
  for (const mark of CUTS) {
    const found = text.slice(0, text.length / 2).indexOf(mark);
    if (found >= 0) return found + mark.length;
  }
  return 0;
}

/** Where a piece ends whose text may lack its end: after the last blank line, line break or blank of its second half. */
function tailCut(text, least) {
  for (const mark of CUTS) {
    const found = text.lastIndexOf(mark);
    if (found >= Math.max(least, text.length / 2)) return found + mark.length;
  }
  return text.length;
}
