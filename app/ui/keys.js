// The key, where the service asks for one: in this tab's session storage and nowhere else.

import { byId, confirmIn } from "./dom.js";

const NAME = "lectern-key";
let asking = null;

/** The key that requests carry, or null. */
export function key() {
  return sessionStorage.getItem(NAME);
}

/** The header that carries the key. */
export function bearing() {
  const held = key();
  return held === null ? {} : { Authorization: `Bearer ${held}` };
}

/** Ask for a key, after a request with `used` (or without any) was refused; whether it may be tried again. */
export function askForKey(used, reason) {
  if (key() !== used) return Promise.resolve(true); // another request's refusal was answered meanwhile
  asking ??= ask(reason).finally(() => {
    asking = null;
  });
  return asking;
}

async function ask(reason) {
  byId("key").value = "";
  byId("key-reason").textContent = reason;
  if (!(await confirmIn(byId("key-dialog")))) return false;
  sessionStorage.setItem(NAME, byId("key").value.trim());
  byId("key").value = "";
  show();
  return true;
}

function show() {
  byId("forget-key").hidden = key() === null;
}

/** Show whether there is a key, and let it be forgotten. */
export function startKeys() {
  show();
  byId("forget-key").addEventListener("click", () => {
    sessionStorage.removeItem(NAME);
    window.location.reload(); // so that nothing that it opened stays on the screen
  });
}
