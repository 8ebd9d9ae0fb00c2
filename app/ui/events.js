// Server-sent events of a reply to fetch: EventSource can send neither a key nor a body.

/** Yields `{name, data, id}` for each event; `data` is parsed from JSON, comments are passed over. */
export async function* events(response) {
  let event = { name: "message", data: [], id: null };
  for await (const line of lines(response.body)) {
    if (line === "") {
      if (event.data.length > 0) yield { ...event, data: JSON.parse(event.data.join("\n")) };
      event = { name: "message", data: [], id: null };
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event.name = value;
    else if (field === "data") event.data.push(value);
    else if (field === "id") event.id = value;
  }
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      ended = done;
      if (done) return; // what is left was no whole line, and so no whole event
      const whole = (rest + value).split("\n"); // the service ends lines so, and a gateway leaves them alone
      rest = whole.pop();
      for (const line of whole) yield line.replace(/\r$/, "");
    }
  } finally {
    if (!ended) await reader.cancel(); // who listened has heard enough: the service may stop
  }
}
