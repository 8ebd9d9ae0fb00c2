// The documents of a collection: listed, ticked, opened, deleted.

import { ask } from "./api.js";
import { bdi, byId, confirmIn, fill, make } from "./dom.js";
import { startIntake } from "./intake.js";
import { placeLink } from "./links.js";
import { tell } from "./notices.js";
import { go, onRoute, placeOf, route } from "./route.js";
import { isTicked, setCollection, tick } from "./scope.js";
import { format, plural } from "./words.js";

const PAGE = 100;
const AGAIN_MS = 3000; // how often a list with documents that somebody else is adding is looked at
const NEW = "\u0000new"; // no collection can be called so
const shown = { collection: null, documents: new Map(), cursor: null, load: 0 };

/** The collection that is shown. */
function current() {
  return shown.collection ?? "default";
}

/** Read the list of collections anew; whether the shown one is there: it comes to be with its first document. */
async function showCollections() {
  const { collections } = await ask("collections", { query: { limit: 1000 } });
  const counts = new Map(collections.map((each) => [each.name, each.documents]));
  const known = counts.has(current());
  if (!known) counts.set(current(), 0);
  const names = [...counts.keys()].sort((a, b) => a.localeCompare(b));
  const option = (name) => make("option", { value: name, selected: name === current() }, name);
  fill(byId("collection"), names.map(option), make("option", { value: NEW }, "a new one…"));
  setCollection(current(), counts.get(current()));
  if (shown.load === 1 && counts.get(current()) === 0) byId("shelf-toggle").click(); // on a narrow screen: the place to begin
  return known;
}

/** Read the list anew; with `more`, its next page; `arrived` is shown wherever it stands in the list. */
async function refresh({ more = false, arrived = null } = {}) {
  const load = (shown.load += 1);
  try {
    const known = await showCollections();
    const query = { collection: current(), limit: PAGE, cursor: more ? shown.cursor : null };
    const page = known ? await ask("documents", { query }) : { documents: [], next_cursor: null };
    if (load !== shown.load) return; // a later one is under way
    if (!more) shown.documents.clear();
    for (const document of page.documents) shown.documents.set(document.id, document);
    shown.cursor = page.next_cursor;
    if (arrived !== null && !shown.documents.has(arrived)) await showFirst(arrived);
    showDocuments();
    if (page.documents.some((each) => each.status === "pending")) setTimeout(() => again(load), AGAIN_MS);
  } catch (error) {
    const retry = make("button", { type: "button", onclick: () => refresh() }, "Try again");
    fill(byId("shelf-state"), `${error.message} `, retry);
  }
}

async function showFirst(id) {
  const document = await ask(`documents/${id}`).catch((error) => {
    if (error.status === 404) return null; // deleted since
    throw error;
  });
  if (document?.collection === current()) shown.documents = new Map([[id, document], ...shown.documents]);
}

function again(load) {
  if (load === shown.load) refresh();
}

function showDocuments() {
  const documents = [...shown.documents.values()];
  fill(byId("documents"), documents.map(row));
  byId("more-documents").hidden = shown.cursor === null;
  byId("shelf-state").textContent = documents.length === 0 ? "Nothing is here yet: add a document to ask about." : "";
}

function row(document) {
  const open = document.version === null
    ? make("span", { class: "title" }, bdi(document.title))
    : placeLink({ document_id: document.id }, { class: "title" }, bdi(document.title));
  const box = make("input", { type: "checkbox", "aria-label": `Ask ${document.title}` });
  box.checked = isTicked(document.id);
  box.disabled = document.version === null;
  box.addEventListener("change", () => tick(document, box.checked));
  const button = make("button", { type: "button", class: "quiet", "aria-label": `Delete ${document.title}`, title: "Delete" }, "✕");
  button.addEventListener("click", () => remove(document));
  return make("li", { "data-document": document.id }, box, open, button, about(document), warnings(document));
}

function about(document) {
  const state = { pending: "being indexed…", failed: "could not be indexed: delete it, or add it again" };
  const told = document.version === null ? [state[document.status]] : [
    format(document.media_type),
    document.pages ? plural(document.pages, "page") : null,
    plural(document.characters, "character"),
  ];
  return make("p", { class: "faint" }, told.filter(Boolean).join(" · "));
}

function warnings(document) {
  if (document.warnings.length === 0) return null;
  const items = document.warnings.map((each) => make("li", {}, each));
  return make("details", { class: "warnings" }, make("summary", {}, plural(items.length, "warning")), make("ul", {}, items));
}

async function remove(document) {
  byId("delete-name").textContent = document.title;
  if (!(await confirmIn(byId("delete-dialog")))) return;
  try {
    await ask(`documents/${document.id}`, { method: "DELETE" });
  } catch (error) {
    if (error.status !== 404) return tell(error.message); // deleted already is deleted
  }
  tick(document, false);
  if (route().doc === document.id) go(placeOf(null));
  tell("Deleted.");
  await refresh();
  (byId("documents").querySelector("a") ?? byId("choose")).focus();
}

/** List the documents of the collection that the address names, and take in new ones. */
export function startShelf() {
  const select = byId("collection");
  const form = byId("new-collection");
  select.addEventListener("change", () => {
    form.hidden = select.value !== NEW;
    if (form.hidden) go({ collection: select.value, ...placeOf(null) });
    else byId("collection-name").focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = byId("collection-name").value.trim();
    if (!/^[\p{L}\p{N}_][\p{L}\p{N}_.-]*$/u.test(name)) return tell("A name has letters, digits, “_”, “.” and “-”.");
    byId("collection-name").value = "";
    form.hidden = true;
    select.focus();
    go({ collection: name, ...placeOf(null) });
  });
  byId("more-documents").addEventListener("click", () => refresh({ more: true }));
  startIntake(current, ({ id }) => refresh({ arrived: id }));
  onRoute(({ collection }) => {
    if ((collection ?? "default") === shown.collection) return;
    shown.collection = collection ?? "default";
    setCollection(current()); // at once: nobody who is quick shall ask another collection
    refresh();
  });
}
