// Summarize: progress while the text is read, the sentences as they come, and from where in the documents they are.

import { stream } from "./api.js";
import { coverage } from "./coverage.js";
import { byId, fill, make } from "./dom.js";
import { placeLink } from "./links.js";
import { copy, tell } from "./notices.js";
import { markAlso } from "./reader.js";
import { source } from "./scope.js";
import { duration, number, percent, place, plural } from "./words.js";

let under = null;

async function summarize() {
  under?.abort();
  const mine = (under = new AbortController());
  const [state, bar, shown] = [byId("summary-state"), byId("summary-progress"), byId("summary")];
  const coming = make("div", { class: "sentences" });
  const before = performance.now();
  state.textContent = "Reading…";
  delete state.dataset.tenth;
  fill(shown, coming);
  busy(true);
  bar.removeAttribute("value");
  try {
    for await (const { name, data } of stream("summarize", request(), mine.signal)) {
      if (name === "progress") progress(bar, state, data);
      if (name === "sentence") coming.append(sentence(data), " ");
      if (name === "summary") {
        state.textContent = account(data, performance.now() - before);
        show(shown, data);
      }
    }
  } catch (error) {
    if (under === mine) state.textContent = error.name === "AbortError" ? "Stopped." : error.message; // else the next one has begun
  } finally {
    if (under === mine) busy(false);
  }
}

function busy(working) {
  byId("summary-progress").hidden = !working;
  byId("stop-summary").hidden = !working;
  byId("summarize-form").setAttribute("aria-busy", String(working));
}

function request() {
  const unit = byId("length").value;
  const amount = byId("amount").valueAsNumber;
  const length = unit === "" ? {} : { length: { [unit]: unit === "ratio" ? amount / 100 : amount } };
  const about = byId("about").value.trim();
  return { ...source(), ...length, ...(about ? { query: about } : {}), format: byId("format").value };
}

function progress(bar, state, { done, total, unit }) {
  if (!total) return;
  bar.max = total;
  bar.value = done;
  // Screen readers would be told of every step: by tenths is enough.
  const tenth = Math.floor((10 * done) / total);
  if (state.dataset.tenth !== String(tenth)) state.textContent = `Reading ${number(total)} ${unit}: ${10 * tenth}%…`;
  state.dataset.tenth = tenth;
}

function account(reply, took) {
  if (reply.sentences.length === 0) return "There is nothing to summarize.";
  const { characters_read: read, characters_total: all } = reply.coverage;
  const part = read === all ? `all ${plural(all, "character")}` : `${percent(read / all)} of ${plural(all, "character")}`;
  return `${plural(reply.sentences.length, "sentence")}, from ${part}, in ${duration(took)}.`;
}

function sentence(each, index) {
  const where = [each.citation.title, place(each.citation)].filter(Boolean).join(", ");
  const speaker = each.speaker ? make("b", {}, `${each.speaker}: `) : null;
  const text = each.speaker && each.text.startsWith(`${each.speaker}:`) ? each.text.slice(each.speaker.length + 1).trim() : each.text;
  return placeLink(each.citation, { class: "sentence", title: where, dir: "auto", "data-sentence": index }, speaker, text);
}

function show(shown, reply) {
  const links = reply.sentences.map(sentence);
  const text = make("div", { class: "sentences" }, ...written(reply, links));
  fill(shown, make("div", { class: "summary" }, coverage(reply), text), sections(reply), copying(reply));
  point(shown);
  markAlso(reply.sentences.map((each) => each.citation));
}

/** The sentences as they were asked for: by parts, as a list, or as a text with a paragraph for each document. */
function written(reply, links) {
  if (reply.parts.length > 0) {
    return reply.parts.flatMap((part) => [
      part.title ? make("h3", { dir: "auto" }, part.title) : null,
      make("p", {}, part.sentences.flatMap((index) => [links[index], " "])),
    ]).filter(Boolean);
  }
  if (byId("format").value === "bullets") return [make("ul", {}, links.map((each) => make("li", {}, each)))];
  const paragraphs = new Map();
  reply.sentences.forEach((each, index) => {
    const id = each.citation.document_id;
    if (!paragraphs.has(id)) paragraphs.set(id, []);
    paragraphs.get(id).push(links[index], " ");
  });
  return [...paragraphs.values()].map((parts) => make("p", {}, parts));
}

/** The coverage strip as a list, for those who read lists. */
function sections(reply) {
  const used = reply.coverage.sections.filter((each) => each.sentences > 0);
  const version = new Map(reply.sentences.map((each) => [each.citation.document_id, each.citation.version]));
  const items = used.map((each) => make("li", {}, placeLink(
    { document_id: each.document_id, start: each.start, end: each.start, version: version.get(each.document_id) },
    { dir: "auto" },
    each.title ?? "the text",
  ), ` ${plural(each.sentences, "sentence")}`));
  if (items.length === 0) return null;
  const total = plural(reply.coverage.sections.length, "section");
  return make("details", { class: "further" }, make("summary", {}, `From ${number(used.length)} of ${total}`), make("ul", {}, items));
}

function copying(reply) {
  if (reply.sentences.length === 0) return null;
  const button = make("button", { type: "button", class: "quiet" }, "Copy the text");
  button.addEventListener("click", async () => {
    if (await copy(reply.summary)) return tell("The summary is copied.");
    window.getSelection().selectAllChildren(byId("summary").querySelector(".sentences"));
    tell("The summary is selected: copy it from there.");
  });
  return make("p", { class: "buttons" }, button);
}

/** A sentence and its tick on the strip show each other. */
function point(shown) {
  const light = (event, on) => {
    const number = event.target.closest?.("[data-sentence]")?.dataset.sentence;
    if (number === undefined) return;
    for (const each of shown.querySelectorAll(`[data-sentence="${number}"]`)) each.classList.toggle("lit", on);
  };
  const summary = shown.firstElementChild;
  for (const [name, on] of [["mouseover", true], ["mouseout", false], ["focusin", true], ["focusout", false]]) {
    summary.addEventListener(name, (event) => light(event, on));
  }
}

/** Listen to wishes for summaries. */
export function startSummarizing() {
  byId("summarize-form").addEventListener("submit", (event) => {
    event.preventDefault();
    summarize();
  });
  byId("stop-summary").addEventListener("click", () => under.abort());
  byId("length").addEventListener("change", () => {
    const unit = byId("length").value;
    byId("amount").hidden = unit === "";
    byId("amount").value = { sentences: 8, words: 200, ratio: 5 }[unit] ?? 8;
    byId("amount").max = unit === "ratio" ? 100 : 10_000;
  });
}
