// A piece of a document's text as nodes: marked where it is cited, with a rule where a page begins.

import { count, indexAt } from "./codepoints.js";
import { make } from "./dom.js";

/**
 * The nodes of `text`, which begins at code point `start` of its document. `marks` are `{start, end, kind}`, of which
 * "current" hides "also"; `pages` are `{number, start}`. The nodes' own text is `text`, to the character.
 */
export function nodesOf(text, start, marks, pages) {
  const end = start + count(text);
  const near = marks.filter((each) => each.start < end && start < each.end);
  const breaks = new Map(pages.filter((each) => start <= each.start && each.start < end).map((each) => [each.start, each.number]));
  const cuts = [start, end, ...breaks.keys(), ...near.flatMap((each) => [each.start, each.end])]
    .filter((cut) => start <= cut && cut <= end)
    .sort((a, b) => a - b);
  const nodes = [];
  let [rest, from] = [text, start];
  for (const to of new Set(cuts)) {
    const index = indexAt(rest, to - from);
    if (index > 0) nodes.push(piece(rest.slice(0, index), from, near));
    if (breaks.has(to)) nodes.push(pageBreak(breaks.get(to)));
    [rest, from] = [rest.slice(index), to];
  }
  return nodes;
}

function piece(text, at, marks) {
  const kinds = marks.filter((each) => each.start <= at && at < each.end).map((each) => each.kind);
  if (kinds.length === 0) return document.createTextNode(text);
  return make("mark", { class: kinds.includes("current") ? "current" : "also" }, text);
}

function pageBreak(number) {
  return make("span", { class: "page-break", role: "separator", "aria-label": `Page ${number}`, "data-page": number });
}
