// Documents in: dropped, chosen or pasted; each sent, and watched until it is indexed.

import { ask, follow } from "./api.js";
import { bdi, byId, confirmIn, make } from "./dom.js";
import { tell } from "./notices.js";
import { upload } from "./upload.js";
import { number } from "./words.js";

const AT_ONCE = 3; // each follows its job on a connection of its own, and a browser has six for a service
const waiting = [];
let running = 0;

/** Take in files, or texts as `{title, text}`, into a collection. `arrived` is called after each. */
function take(items, collection, arrived) {
  for (const item of items) {
    const row = arrival(item.name ?? (item.title || "A pasted text"));
    waiting.push(() => bring(item, collection, row, arrived));
  }
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length > 0) {
    running += 1;
    waiting.shift()().finally(() => {
      running -= 1;
      next();
    });
  }
}

async function bring(item, collection, row, arrived) {
  row.say("being sent", null);
  try {
    const document = await upload(item, collection, (sent) => row.say(sent < 1 ? "being sent" : "being read", sent));
    if (document.job) await indexed(document, row);
    tell(document.job ? `${row.name} is indexed.` : `${row.name} was there already.`);
    row.remove();
    await arrived(document);
  } catch (error) {
    row.fail(error.message);
  }
}

async function indexed(document, row) {
  row.say("being read", null);
  const job = await follow(document.job, ({ done, total, unit }) => {
    if (total) row.say(`being indexed: ${number(done)} of ${number(total)} ${unit}`, done / total);
    else row.say("being read", null);
  });
  if (job.status === "succeeded") return;
  const shown = await ask(`documents/${document.id}`).catch(() => null); // deleted meanwhile, perhaps
  if (shown?.status === "failed") await ask(`documents/${document.id}`, { method: "DELETE" });
  throw new Error(job.status === "cancelled" ? "It was cancelled." : job.problem.detail);
}

/** A line about a document that is on its way. */
function arrival(name) {
  const bar = make("progress", { max: 1, "aria-label": `${name} is on its way` });
  const state = make("span", { class: "faint" }, "waits for its turn");
  const row = make("li", {}, bdi(name), bar, state);
  byId("arrivals").append(row);
  return {
    name,
    remove: () => row.remove(),
    say(text, part) {
      state.textContent = text;
      if (part === null) bar.removeAttribute("value");
      else bar.value = part;
    },
    fail(text) {
      bar.remove();
      row.classList.add("failed");
      row.setAttribute("role", "alert");
      state.textContent = text.charAt(0).toUpperCase() + text.slice(1);
      const dismiss = make("button", { type: "button", class: "quiet", "aria-label": `Dismiss ${name}` }, "Dismiss");
      dismiss.addEventListener("click", () => row.remove());
      row.append(dismiss);
    },
  };
}

/** Listen to drops, choices and pastes. `collection` says where to; `arrived` is told of each document. */
export function startIntake(collection, arrived) {
  const files = byId("files");
  const bringIn = (items) => take(items, collection(), arrived);
  byId("choose").addEventListener("click", () => files.click());
  files.addEventListener("change", () => {
    bringIn([...files.files]);
    files.value = "";
  });
  byId("paste").addEventListener("click", () => pasted("", bringIn));
  document.addEventListener("paste", (event) => {
    if (event.target.closest("input, textarea, dialog")) return;
    const text = event.clipboardData.getData("text/plain");
    if (event.clipboardData.files.length > 0) bringIn([...event.clipboardData.files]);
    else if (text.trim()) pasted(text, bringIn);
  });
  startDrops(bringIn);
}

async function pasted(text, bringIn) {
  byId("paste-text").value = text;
  byId("paste-name").value = "";
  if (!(await confirmIn(byId("paste-dialog")))) return;
  const written = byId("paste-text").value;
  if (written.trim()) bringIn([{ text: written, title: byId("paste-name").value.trim() }]);
}

function startDrops(bringIn) {
  let depth = 0; // of elements that the pointer has entered
  const curtain = (shown) => {
    depth = shown ? depth : 0;
    byId("curtain").hidden = !shown;
  };
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  window.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    curtain(true);
  });
  window.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth -= 1;
    if (depth <= 0) curtain(false);
  });
  window.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    curtain(false);
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const folders = items.filter((item) => item.webkitGetAsEntry()?.isDirectory);
    if (folders.length > 0) tell("Folders stay outside: drop the files in them, or use “lectern ingest”.");
    bringIn(items.filter((item) => !folders.includes(item)).map((item) => item.getAsFile()));
  });
}
