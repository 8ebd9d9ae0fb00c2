// The open document: its text at a version, with what is cited marked at its place.

import { address, ask, send } from "./api.js";
import { byId, fill, make } from "./dom.js";
import { copy, tell } from "./notices.js";
import { go, link, onRoute, placeOf, route } from "./route.js";
import { chooseOpen, setOpen } from "./scope.js";
import { TextWindow } from "./scroll.js";
import { number, percent, place } from "./words.js";

const STEPS = 200; // of the slider, from one end of a document to the other
const MOST_CONTENTS = 2000; // entries of the list of contents
const open = { id: null, document: null, outline: null, text: null, asked: 0 };
let also = []; // citations of the last summary, marked wherever they stand
let opener = null; // what had the focus before

/** Mark these citations too, softly, in whatever document they are. */
export function markAlso(citations) {
  also = citations;
  mark();
}

async function show({ doc, start, end, version }) {
  const asked = (open.asked += 1);
  const focused = document.activeElement;
  if (byId("reader").hidden) opener = focused;
  reveal(true);
  try {
    if (!isLoaded(doc, version)) await load(doc, version, asked);
    if (asked !== open.asked) return;
    offer(true);
    await showPlace(start, end, asked, focused);
  } catch (error) {
    if (asked === open.asked) refuse(error, doc, version);
  }
}

/** Whether this version of this document, or without one its current version, is what is shown. */
function isLoaded(id, version) {
  return open.text !== null && open.id === id && (version ?? open.document.version) === open.outline.version;
}

async function load(id, version, asked) {
  offer(false);
  const query = { version };
  const [found, outline] = await Promise.all([ask(`documents/${id}`), ask(`documents/${id}/outline`, { query })]);
  if (asked !== open.asked) return;
  open.text?.close();
  const exact = outline.version; // also where the link named none: what is shown does not change while it is read
  const read = async (start, end) => (await ask(`documents/${id}/text`, { query: { start, end, version: exact } })).text;
  const flows = !found.media_type.startsWith("text/x-"); // all but source code
  const text = new TextWindow(byId("text"), { read, length: outline.characters, pages: outline.pages, flows });
  Object.assign(open, { id, document: found, outline, text });
  byId("reader-title").textContent = found.title;
  document.title = `${found.title} – Lectern`;
  byId("position").max = outline.characters;
  byId("position").step = Math.max(1, Math.ceil(outline.characters / STEPS));
  setOpen({ id, title: found.title });
  showContents();
}

/** Whether the controls can be used: none while another document is fetched than the one that they are about. */
function offer(usable) {
  if (!usable) document.querySelector("#reader footer").hidden = true; // `showPosition` shows it again, if it is needed
  for (const each of document.querySelectorAll("#reader .buttons button, #contents")) each.disabled = !usable;
}

async function showPlace(start, end, asked, focused) {
  const { outline, text } = open;
  const from = Math.min(start ?? 0, outline.characters);
  const to = Math.max(from, Math.min(end ?? from, outline.characters));
  mark(from, to);
  byId("reader-place").textContent = told(from, to);
  byId("reader-notice").hidden = true;
  const found = await text.show(from, to);
  if (asked !== open.asked) return;
  showPosition();
  if ([focused, document.body].includes(document.activeElement)) focusOn(found); // else somebody went on meanwhile
  if (open.document.version !== outline.version) await showVersion(from, to, asked);
}

function focusOn(found) {
  found?.setAttribute("tabindex", "-1");
  (found ?? byId("reader-title")).focus({ preventScroll: true });
}

function mark(start = route().start, end = route().end) {
  if (open.text === null) return;
  const others = also.filter((each) => each.document_id === open.id && each.version === open.outline.version);
  const marks = others.map((each) => ({ start: each.start, end: each.end, kind: "also" }));
  if (start !== null && end !== null && start < end) marks.push({ start, end, kind: "current" });
  open.text.mark(marks);
}

function told(start, end) {
  const where = place({ page: at(open.outline.pages, start)?.number, section: at(open.outline.sections, start)?.title });
  return end > start ? [where, `characters ${number(start)} to ${number(end)}`].filter(Boolean).join(" · ") : where;
}

/** The last of these ranges that begins at a position or before. */
function at(ranges, position) {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle].start <= position) low = middle + 1;
    else high = middle;
  }
  return ranges[low - 1] ?? null;
}

/** Say that this is not the current version, and lead to the same place in that one, if it still has it. */
async function showVersion(start, end, asked) {
  const { document: current, outline, id } = open;
  const old = "This is an older version. ";
  let told = [old, leading({ ...placeOf(null), doc: id }, "Show the current one")];
  if (end > start) {
    const quote = (await ask(`documents/${id}/text`, { query: { start, end, version: outline.version } })).text;
    const citations = [{ document_id: id, version: outline.version, start, end, quote }];
    const { results: [now] } = await ask("verify", { method: "POST", json: { citations } });
    const there = { doc: id, start: now.start, end: now.end, version: now.version };
    if (now.start !== null) told = [old, leading(there, "Show this place in the current one")];
    else if (now.status === "gone") told = [`${old}The current one no longer says what is marked. `, told[1]];
  }
  if (asked !== open.asked || id !== open.id || current.version === outline.version) return;
  fill(byId("reader-notice"), told);
  byId("reader-notice").hidden = false;
}

function leading(there, said) {
  return make("a", { href: link(there), "data-place": JSON.stringify(there) }, said);
}

function showContents() {
  const sections = open.outline.sections.filter((each) => each.title !== null).slice(0, MOST_CONTENTS);
  byId("contents-row").hidden = sections.length < 2;
  const entry = (each) => make("option", { value: each.start }, `${"\u2003".repeat(Math.max(0, each.depth - 1))}${each.title}`);
  fill(byId("contents"), make("option", { value: "" }, "jump to…"), sections.map(entry));
}

function showPosition(known = null) {
  if (open.text === null) return;
  const box = byId("text");
  document.querySelector("#reader footer").hidden = box.scrollHeight <= box.clientHeight; // all of it is seen
  const position = known ?? open.text.position;
  const page = at(open.outline.pages, position)?.number;
  const pages = open.outline.pages.at(-1)?.number;
  const shown = page ? `page ${number(page)} of ${number(pages)}` : percent(position / Math.max(1, open.outline.characters));
  byId("position-shown").value = shown;
  byId("position").setAttribute("aria-valuetext", shown);
  if (document.activeElement !== byId("position")) byId("position").value = position;
}

function refuse(error, id, version) {
  const other = error.status === 404 && version ? leading({ ...placeOf(null), doc: id }, "Show the current one") : null;
  const missing = version ? "This document, or this version of it, is no longer kept." : "There is no such document.";
  const said = error.status === 404 ? missing : error.message;
  byId("reader-title").textContent = "It cannot be shown";
  byId("reader-place").textContent = "";
  byId("contents-row").hidden = true;
  byId("reader-notice").hidden = true;
  open.text?.close();
  Object.assign(open, { id: null, text: null });
  fill(byId("text"), make("p", { role: "alert" }, `${said} `, other));
  byId("reader-title").focus();
}

function close() {
  open.asked += 1;
  open.text?.close();
  Object.assign(open, { id: null, text: null });
  document.title = "Lectern";
  setOpen(null);
  if (byId("reader").hidden) return;
  reveal(false);
  const back = opener?.isConnected ? opener : byId("question");
  back.focus();
}

const NARROW = window.matchMedia("(max-width: 52rem)"); // as in layout.css: there the document covers the rest

function reveal(shown) {
  byId("reader").hidden = !shown;
  for (const each of document.querySelectorAll("#shelf, #desk, .top, [data-focus=question]")) each.inert = shown && NARROW.matches;
  document.body.classList.toggle("reading", shown);
  document.querySelector('[data-focus="text"]').hidden = !shown;
}

async function download() {
  const response = await send(address(`documents/${open.id}/file`));
  const named = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("Content-Disposition") ?? "");
  const url = URL.createObjectURL(await response.blob());
  make("a", { href: url, download: named ? decodeURIComponent(named[1]) : open.document.title }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** The address of what is shown, with the version that makes it hold for good. */
function shownLink() {
  const { start, end } = route();
  return new URL(link({ doc: open.id, start, end, version: open.outline.version }), document.baseURI).href;
}

/** Show what the address names, and listen to the reader's own controls. */
export function startReader() {
  const box = byId("text");
  const position = byId("position");
  let moving = null;
  box.addEventListener("scroll", () => {
    open.text?.fill().then(() => showPosition(), (error) => tell(error.message));
  }, { passive: true });
  position.addEventListener("input", () => {
    clearTimeout(moving);
    showPosition(position.valueAsNumber);
    moving = setTimeout(() => {
      open.text?.show(position.valueAsNumber, position.valueAsNumber).then(() => showPosition(), (error) => tell(error.message));
    }, 60);
  });
  byId("contents").addEventListener("change", ({ target }) => {
    if (target.value) go({ start: Number(target.value), end: null, version: open.outline.version });
    target.value = "";
  });
  byId("close-reader").addEventListener("click", () => go(placeOf(null)));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || byId("reader").hidden || document.querySelector("dialog[open]")) return;
    if (event.target === document.body || byId("reader").contains(event.target)) go(placeOf(null));
  });
  byId("ask-this").addEventListener("click", () => turnTo("ask", "question"));
  byId("summarize-this").addEventListener("click", () => turnTo("summarize", "length"));
  byId("copy-link").addEventListener("click", async () => {
    if (await copy(shownLink())) return tell("The link is copied.");
    go({ version: open.outline.version });
    tell("The link is in the address bar.");
  });
  byId("download").addEventListener("click", () => download().catch((error) => tell(error.message)));
  NARROW.addEventListener("change", () => reveal(!byId("reader").hidden));
  onRoute((now, before) => {
    const moved = ["doc", "start", "end", "version"].some((name) => now[name] !== before[name]);
    if (now.doc === null) close();
    else if (moved || now.view === before.view) show(now); // the same place once more is looked for again
  });
}

function turnTo(view, control) {
  chooseOpen();
  go({ view });
  byId(control).focus();
}
