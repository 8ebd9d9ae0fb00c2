// The coverage strip: all that was read from top to bottom, its sections as bands, each chosen sentence as a tick.

import { make } from "./dom.js";
import { placeLink } from "./links.js";
import { percent } from "./words.js";

const MOST_BANDS = 400; // thinner ones would be no bands

/** The strip of a summary, for eyes and pointers: the sentences are the same links, and a list has the sections. */
export function coverage(reply) {
  const { sections } = reply.coverage;
  const documents = laidOut(sections);
  const total = Math.max(1, [...documents.values()].reduce((sum, each) => sum + each.length, 0));
  const share = (position) => `${(100 * position) / total}%`;
  const bands = sections.length > MOST_BANDS ? [] : sections.map((each, index) => {
    const band = make("span", { class: `band${each.sentences > 0 ? " used" : ""}${index % 2 ? " odd" : ""}` });
    band.style.insetBlockStart = share(documents.get(each.document_id).before + each.start);
    band.style.blockSize = share(each.end - each.start);
    return band;
  });
  const edges = [...documents.values()].filter((each) => each.before > 0).map((each) => {
    const edge = make("span", { class: "edge" });
    edge.style.insetBlockStart = share(each.before);
    return edge;
  });
  const ticks = reply.sentences.map((each, number) => tick(each.citation, number, documents, total, share));
  return make("div", { class: "strip", "aria-hidden": "true" }, ...bands, ...edges, ...ticks);
}

/** document id -> where it begins on the strip and how long it is, in characters. */
function laidOut(sections) {
  const documents = new Map();
  for (const { document_id: id, end } of sections) {
    documents.set(id, { length: Math.max(end, documents.get(id)?.length ?? 0) });
  }
  let before = 0;
  for (const each of documents.values()) {
    each.before = before;
    before += each.length;
  }
  return documents;
}

function tick(cited, number, documents, total, share) {
  const at = documents.get(cited.document_id).before + cited.start;
  const told = [cited.title, cited.section, percent(at / total)].filter(Boolean).join(" · ");
  const link = placeLink(cited, { class: "tick", tabindex: "-1", title: told, "data-sentence": number });
  link.style.insetBlockStart = share(at);
  return link;
}
