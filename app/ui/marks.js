// A piece of a document's text as nodes: marked where it is cited, with a rule where a page begins.

import { count, indexAt } from "./codepoints.js";
import { make } from "./dom.js";
import { softBreaks } from "./flow.js";

/**
 * The nodes of `text`, which begins at code point `start` of its document. `marks` are `{start, end, kind}`, of which
 * "current" hides "also"; `pages` are `{number, start}`; with `flows`, lines are put together again that were wrapped.
 * The nodes' own text is `text`, to the character.
 */
export function nodesOf(text, start, { marks, pages, flows }) {
  const end = start + count(text);
  const near = marks.filter((each) => each.start < end && start < each.end);
  const breaks = new Map(pages.filter((each) => start <= each.start && each.start < end).map((each) => [each.start, each.number]));
  const cuts = [start, end, ...breaks.keys(), ...near.flatMap((each) => [each.start, each.end])]
    .filter((cut) => start <= cut && cut <= end)
    .sort((a, b) => a - b);
  const soft = flows ? softBreaks(text) : [];
  const nodes = [];
  let [index, from] = [0, start];
  for (const to of new Set(cuts)) {
    const next = index + indexAt(text.slice(index), to - from);
    if (next > index) nodes.push(...marked(flowing(text, index, next, soft), from, near));
    if (breaks.has(to)) nodes.push(pageBreak(breaks.get(to)));
    [index, from] = [next, to];
  }
  return nodes;
}

/** The nodes in a mark, if what begins at code point `at` is in one. */
function marked(nodes, at, marks) {
  const kinds = marks.filter((each) => each.start <= at && at < each.end).map((each) => each.kind);
  if (kinds.length === 0) return nodes;
  return [make("mark", { class: kinds.includes("current") ? "current" : "also" }, ...nodes)];
}

/** Text nodes of a part of a text, with those of its line breaks apart that are to be shown as blanks. */
function flowing(text, first, last, soft) {
  const nodes = [];
  let from = first;
  for (const [begin, end] of soft.filter((each) => first < each[1] && each[0] < last)) {
    const [start, stop] = [Math.max(begin, first), Math.min(end, last)];
    if (start > from) nodes.push(document.createTextNode(text.slice(from, start)));
    nodes.push(make("span", { class: "soft" }, text.slice(start, stop)));
    from = stop;
  }
  if (last > from) nodes.push(document.createTextNode(text.slice(from, last)));
  return nodes;
}

function pageBreak(number) {
  return make("span", { class: "page-break", role: "separator", "aria-label": `Page ${number}`, "data-page": number });
}
