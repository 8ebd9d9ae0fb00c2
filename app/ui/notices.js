// One line at the foot of the page, which screen readers say too.

import { byId } from "./dom.js";

const SECONDS = 8;
let timer = null;

/** Copy a text, where the browser allows it (over HTTPS or on this machine, if nobody forbade it); whether it did. */
export async function copy(text) {
  if (navigator.clipboard === undefined) return false;
  return navigator.clipboard.writeText(text).then(() => true, () => false);
}

/** Tell something that needs no answer. */
export function tell(text) {
  clearTimeout(timer);
  byId("told").textContent = text;
  timer = setTimeout(() => {
    byId("told").textContent = "";
  }, SECONDS * 1000);
}
