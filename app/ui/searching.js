// Search: passages with their scores, and the place of each in the words' list and in the meaning's.

import { ask } from "./api.js";
import { byId, fill, make } from "./dom.js";
import { placeLink, source as origin } from "./links.js";
import { source } from "./scope.js";
import { duration, plural } from "./words.js";

const LISTS = [["sparse", "words"], ["dense", "meaning"]];
let under = null;

async function search(query) {
  under?.abort();
  const mine = (under = new AbortController());
  const state = byId("search-state");
  state.textContent = "Searching…";
  const json = { query, ...source(), mode: byId("mode").value, top_k: byId("count").valueAsNumber };
  try {
    const reply = await ask("search", { method: "POST", json, signal: mine.signal });
    const found = reply.hits.length === 0 ? "Nothing was found" : plural(reply.hits.length, "passage");
    state.textContent = `${found} in ${duration(reply.timings_ms.total)}.`;
    const most = Math.max(...reply.hits.map((each) => each.score), Number.MIN_VALUE);
    fill(byId("hits"), reply.hits.map((hit) => make("li", {}, card(hit, most))));
  } catch (error) {
    if (error.name !== "AbortError") state.textContent = error.message;
  }
}

function card(hit, most) {
  const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("span"));
  bar.firstChild.style.inlineSize = `${Math.max(0, Math.round((hit.score / most) * 100))}%`;
  const ranks = LISTS.map(([list, name]) => make("span", { class: "rank" }, `${name} ${hit.ranks[list] ? `#${hit.ranks[list]}` : "–"}`));
  return placeLink(
    hit,
    { class: "card" },
    origin(hit),
    make("span", { class: "context clipped", dir: "auto" }, hit.text),
    make("span", { class: "scores" }, bar, make("span", { class: "rank" }, `score ${hit.score.toFixed(3)}`), ...ranks),
  );
}

/** Listen to searches. */
export function startSearching() {
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const query = byId("query").value.trim();
    if (query) search(query);
  });
}
