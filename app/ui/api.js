// Requests to the service, relative to where the page is: under a gateway's prefix too.

import { events } from "./events.js";
import { askForKey, bearing, key } from "./keys.js";
import { sentence } from "./words.js";

/** What the service refused, or that it cannot be reached (status 0); the message is a sentence for people. */
export class Problem extends Error {
  constructor(status, problem, retryAfter = null) {
    const told = problem?.detail ?? problem?.title ?? "The service answered with something that this page does not know";
    super(sentence(told) + (retryAfter ? ` Try again in ${retryAfter} s.` : ""));
    this.status = status;
    this.code = problem?.code ?? null;
  }
}

/** The address of a path of the API; parts that name things are encoded. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

/** The problem that a reply carries. */
export function problemOf(status, text, retryAfter) {
  let told = null;
  try {
    told = JSON.parse(text);
  } catch {
    told = { detail: `The service, or a gateway before it, answered with status ${status}` };
  }
  if (status === 401 && key() === null) told = { ...told, detail: "This service asks for a key" }; // not for a header
  return new Problem(status, told, retryAfter);
}

/** The reply to a request, asking for a key where one is missing. Throws Problem for all that is not 2xx. */
export async function send(url, { method = "GET", json, headers = {}, signal } = {}) {
  const body = json === undefined ? undefined : JSON.stringify(json);
  const type = body === undefined ? {} : { "Content-Type": "application/json" };
  for (;;) {
    const used = key();
    let response;
    try {
      response = await fetch(url, { method, body, signal, headers: { ...type, ...headers, ...bearing() } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, { detail: "The service cannot be reached" });
    }
    if (response.ok) return response;
    const problem = problemOf(response.status, await response.text(), response.headers.get("Retry-After"));
    if (response.status !== 401 || !(await askForKey(used, problem.message))) throw problem;
  }
}

/** The JSON of a reply. */
export async function ask(path, { query, ...options } = {}) {
  const response = await send(address(path, query), options);
  return response.status === 204 ? null : response.json();
}

/** The events that a POST answers with. Throws Problem, also for an `error` event. */
export async function* stream(path, json, signal) {
  const response = await send(address(path), { method: "POST", json: { ...json, stream: true }, signal });
  yield* told(response);
}

/** Follow a job to its end, again after a lost connection; the job as it ended. `report` gets each progress. */
export async function follow(job, report) {
  let seen = null;
  for (;;) {
    const headers = seen === null ? {} : { "Last-Event-ID": seen };
    try {
      const response = await send(address(`jobs/${job}/events`), { headers });
      if (response.status === 204) return await ask(`jobs/${job}`);
      let ended = null;
      for await (const event of told(response)) {
        seen = event.id ?? seen;
        if (event.name === "progress") report(event.data);
        if (event.name === "done") ended = event.data;
      }
      if (ended !== null) return ended;
    } catch (error) {
      const lost = error instanceof TypeError || error.status === 0 || error.status === 503;
      if (!lost) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

async function* told(response) {
  for await (const event of events(response)) {
    if (event.name === "error") throw new Problem(event.data.status, event.data);
    yield event;
  }
}
