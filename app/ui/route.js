// What is shown, in the address: a link to an answer's place can be sent to somebody, and Back works.

const NAMES = ["view", "collection", "doc", "start", "end", "version"];
const PLACE = { doc: null, start: null, end: null, version: null };
const listeners = [];
let last = {};

/** What the address says; what it does not say is null. */
export function route() {
  const said = new URLSearchParams(window.location.hash.slice(1));
  const found = Object.fromEntries(NAMES.map((name) => [name, said.get(name)]));
  for (const name of ["start", "end"]) {
    const value = Number.parseInt(found[name], 10);
    found[name] = Number.isSafeInteger(value) && value >= 0 ? value : null;
  }
  return found;
}

/** The fragment of what is shown now with these changes. */
export function link(changes) {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...route(), ...changes })) {
    if (value !== null && value !== undefined) said.set(name, value);
  }
  return `#${said}`;
}

/** The changes that lead to a citation, a hit, or with `null` out of any document. */
export function placeOf(cited) {
  if (cited === null) return PLACE;
  return { doc: cited.document_id, start: cited.start, end: cited.end, version: cited.version };
}

/** Go there, as an entry of the history of its own. The same place again is shown again. */
export function go(changes) {
  const there = link(changes);
  if (there !== window.location.hash) window.history.pushState(null, "", there);
  tell();
}

/** Call `listener(now, before)` for each place that is gone to. */
export function onRoute(listener) {
  listeners.push(listener);
}

function tell() {
  const [now, before] = [route(), last];
  last = now;
  for (const listener of listeners) listener(now, before);
}

/** Begin where the address says. */
export function startRoute() {
  window.addEventListener("hashchange", tell);
  document.addEventListener("click", follow);
  tell();
}

// A link to a place, wherever it stands, keeps all else as it is by now.
function follow(event) {
  const found = event.target.closest("a[data-place], a[data-view], a[data-focus]");
  if (found === null || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  const { place, view, focus } = found.dataset;
  if (focus) document.getElementById(focus).focus();
  else go(place ? JSON.parse(place) : { view });
}
