// Links into documents: what an answer, a hit or a sentence of a summary stands on.

import { bdi, make } from "./dom.js";
import { link, placeOf } from "./route.js";
import { place } from "./words.js";

/** A link to where a citation or a hit stands. */
export function placeLink(cited, attributes, ...children) {
  const there = placeOf(cited);
  return make("a", { href: link(there), "data-place": JSON.stringify(there), ...attributes }, ...children);
}

/** The title of a citation's document, with page and section. */
export function source(cited) {
  const where = place(cited);
  return make("span", { class: "source" }, bdi(cited.title ?? "the text"), where ? " · " : null, where ? bdi(where) : null);
}

/** A citation as a card: the sentence around the quote, with the quote marked, and where it is from. */
export function citationCard(cited) {
  const before = cited.context.indexOf(cited.quote);
  const text = before < 0
    ? [make("mark", {}, cited.quote)]
    : [cited.context.slice(0, before), make("mark", {}, cited.quote), cited.context.slice(before + cited.quote.length)];
  return placeLink(cited, { class: "card" }, make("span", { class: "context", dir: "auto" }, ...text), source(cited));
}
