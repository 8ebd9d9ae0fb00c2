// What questions, searches and summaries are about: a collection, the documents ticked in it, or the one that is open.

import { byId, fill, make } from "./dom.js";
import { plural } from "./words.js";

const ALL = "collection";
const TICKED = "ticked";
const OPEN = "open";
const state = { collection: "default", documents: null, ticked: new Map(), open: null, choice: ALL };

/** The source of a request, as the API names it. */
export function source() {
  if (state.choice === TICKED && state.ticked.size > 0) return { documents: [...state.ticked.keys()] };
  if (state.choice === OPEN && state.open !== null) return { documents: [state.open.id] };
  return { collection: state.collection };
}

/** Whether there is anything to be asked. */
export function isEmpty() {
  return state.documents === 0 && "collection" in source();
}

/** The collection that is shown, and how many documents it has, once that is known; ticks belong to one collection. */
export function setCollection(name, documents = null) {
  if (name !== state.collection) {
    state.ticked.clear();
    state.choice = ALL;
  }
  Object.assign(state, { collection: name, documents });
  show();
}

/** A document is ticked, or no longer. */
export function tick(document, ticked) {
  if (ticked) state.ticked.set(document.id, document);
  else state.ticked.delete(document.id);
  if (ticked) state.choice = TICKED;
  else if (state.ticked.size === 0 && state.choice === TICKED) state.choice = ALL;
  show();
}

/** Whether a document is ticked. */
export function isTicked(id) {
  return state.ticked.has(id);
}

/** The document that is open, `{id, title}`, or null. */
export function setOpen(document) {
  state.open = document;
  if (document === null && state.choice === OPEN) state.choice = ALL;
  show();
}

/** Ask the open document alone. */
export function chooseOpen() {
  state.choice = OPEN;
  show();
}

function show() {
  const count = state.documents === null ? "" : ` (${plural(state.documents, "document")})`;
  const options = [[ALL, `all of “${state.collection}”${count}`]];
  if (state.ticked.size > 0) options.push([TICKED, `the ${plural(state.ticked.size, "ticked document")}`]);
  if (state.open !== null) options.push([OPEN, `the open document: ${state.open.title}`]);
  const choice = options.some(([value]) => value === state.choice) ? state.choice : ALL;
  fill(byId("scope"), options.map(([value, text]) => make("option", { value, selected: value === choice }, text)));
}

/** Listen to what is chosen. */
export function startScope() {
  byId("scope").addEventListener("change", () => {
    state.choice = byId("scope").value;
  });
  show();
}
