// A file on its way: XMLHttpRequest, as fetch does not tell how much of a body is sent.

import { Problem, address, problemOf } from "./api.js";
import { askForKey, bearing, key } from "./keys.js";

/** Send a file or a text into a collection; the document that it becomes, with its job. `report` gets 0 to 1. */
export async function upload(item, collection, report) {
  for (;;) {
    const used = key();
    try {
      return await attempt(item, collection, report);
    } catch (error) {
      if (error.status !== 401 || !(await askForKey(used, error.message))) throw error;
    }
  }
}

function attempt(item, collection, report) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address("documents", { wait: 0 }));
    for (const [name, value] of Object.entries(bearing())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) report(event.loaded / event.total);
    });
    request.addEventListener("error", () => {
      reject(new Problem(0, { detail: "The service cannot be reached, or the file cannot be read" }));
    });
    request.addEventListener("load", () => {
      const retry = request.getResponseHeader("Retry-After");
      if (request.status >= 300) reject(problemOf(request.status, request.responseText, retry));
      else resolve(JSON.parse(request.responseText));
    });
    request.send(body(request, item, collection));
  });
}

function body(request, item, collection) {
  if (item instanceof File) {
    const form = new FormData();
    form.append("collection", collection);
    form.append("file", item, item.name);
    return form;
  }
  request.setRequestHeader("Content-Type", "application/json");
  return JSON.stringify({ text: item.text, title: item.title || null, collection });
}
