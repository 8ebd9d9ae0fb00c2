// The page: which view is shown, and the start of each of its parts.

import { byId } from "./dom.js";
import { startAsking } from "./asking.js";
import { startKeys } from "./keys.js";
import { startReader } from "./reader.js";
import { onRoute, startRoute } from "./route.js";
import { startScope } from "./scope.js";
import { startSearching } from "./searching.js";
import { startShelf } from "./shelf.js";
import { startSummarizing } from "./summarizing.js";

const VIEWS = ["ask", "summarize", "search"];

function showView({ view }) {
  const shown = VIEWS.includes(view) ? view : VIEWS[0];
  for (const each of VIEWS) byId(each).hidden = each !== shown;
  for (const each of document.querySelectorAll("nav [data-view]")) {
    if (each.dataset.view === shown) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
}

function startShelfToggle() {
  const toggle = byId("shelf-toggle");
  toggle.addEventListener("click", () => {
    const open = document.body.classList.toggle("shelf-open");
    toggle.setAttribute("aria-expanded", String(open));
  });
}

startKeys();
startScope();
startShelfToggle();
onRoute(showView);
startShelf();
startAsking();
startSummarizing();
startSearching();
startReader();
startRoute();
