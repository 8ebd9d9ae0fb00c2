// Ask: the answer with its confidence, where it stands, and what else it might be.

import { stream } from "./api.js";
import { byId, fill, make } from "./dom.js";
import { citationCard, placeLink, source as origin } from "./links.js";
import { isEmpty, source } from "./scope.js";
import { duration, percent, plural, sureness } from "./words.js";

const KEPT = 20; // answers on the page
let under = null;

async function ask(question) {
  under?.abort();
  const mine = (under = new AbortController());
  const state = byId("ask-state");
  state.classList.remove("hidden");
  state.textContent = isEmpty() ? "There are no documents here yet, so nothing can be found…" : "Looking for passages…";
  byId("ask-form").setAttribute("aria-busy", "true");
  try {
    for await (const { name, data } of stream("ask", request(question), mine.signal)) {
      if (name === "hits") state.textContent = reading(data.hits);
      if (name === "answer") {
        state.textContent = spoken(data);
        state.classList.add("hidden"); // it is for screen readers: the answer itself is seen
        show(question, data);
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") state.textContent = error.message;
  } finally {
    if (under === mine) byId("ask-form").removeAttribute("aria-busy");
  }
}

function request(question) {
  const error = byId("target-error").value;
  const wanted = { alternatives: byId("alternatives").valueAsNumber, top_k: byId("passages").valueAsNumber };
  return { question, ...source(), ...wanted, ...(error === "" ? {} : { target_error: Number(error) }) };
}

function reading(hits) {
  if (hits.length === 0) return "No passage has anything of it…";
  const documents = new Set(hits.map((hit) => hit.document_id)).size;
  return `Reading ${plural(hits.length, "passage")} of ${plural(documents, "document")}…`;
}

function spoken(reply) {
  const sure = percent(reply.confidence);
  return reply.answerable ? `Answered, ${sure} sure.` : `The documents don’t say: ${sure} sure of that.`;
}

function show(question, reply) {
  const answers = byId("answers");
  answers.prepend(make("li", {}, make("article", {}, make("h3", { dir: "auto" }, question), verdict(reply), further(reply), made(reply))));
  while (answers.children.length > KEPT) answers.lastElementChild.remove();
}

function verdict(reply) {
  const said = reply.answerable
    ? make("p", { class: "answer", dir: "auto" }, reply.answer)
    : make("p", { class: "answer none" }, "The documents don’t say.");
  const certain = `${percent(reply.confidence)} sure`;
  const told = reply.answerable ? `${certain} · ${sureness(reply.confidence)}` : `${certain} that they don’t`;
  const cards = reply.citations.map((cited) => make("li", {}, citationCard(cited)));
  return [said, confidence(reply.confidence, told), cards.length > 0 ? make("ul", { class: "citations" }, cards) : null];
}

function confidence(chance, told) {
  const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("span"));
  bar.firstChild.style.inlineSize = percent(chance);
  return make("p", { class: "confidence" }, bar, told);
}

function further(reply) {
  if (reply.alternatives.length === 0) return null;
  const items = reply.alternatives.map((each) => make("li", {}, placeLink(
    each.citation,
    { class: "card" },
    make("span", { class: "context", dir: "auto" }, each.answer),
    make("span", { class: "sure" }, `${percent(each.confidence)} · ${sureness(each.confidence)}`),
    origin(each.citation),
  )));
  const title = reply.answerable ? "It might also be" : "The nearest that they say";
  return make("details", { class: "further", open: !reply.answerable }, make("summary", {}, title), make("ul", { class: "citations" }, items));
}

function made(reply) {
  const { passages, documents } = reply.read;
  const read = `Read ${plural(passages, "passage")} of ${plural(documents, "document")}`;
  return make("p", { class: "faint" }, `${read} in ${duration(reply.timings_ms.total)}.`);
}

/** Listen to questions. */
export function startAsking() {
  byId("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = byId("question").value.trim();
    if (question) ask(question);
  });
  fill(byId("answers"));
}
