// Elements made in code. What a document says becomes text nodes only: nothing here, or anywhere, parses markup.

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** An element with attributes, `on...` listeners and children; a child is a node, a text, or null for none. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show the children in place of what was there. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

/** A text that a document or a person wrote, in its own direction. */
export function bdi(text) {
  return make("bdi", {}, text);
}

/** Open a `<dialog>`; resolves to whether it was submitted. What had the focus has it again at the end. */
export function confirmIn(dialog) {
  const form = dialog.querySelector("form");
  return new Promise((resolve) => {
    const listening = new AbortController();
    const end = (submitted) => {
      listening.abort();
      dialog.close();
      resolve(submitted);
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      end(true);
    }, { signal: listening.signal });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      end(false);
    }, { signal: listening.signal });
    dialog.querySelector("[data-close]").addEventListener("click", () => end(false), { signal: listening.signal });
    dialog.showModal();
  });
}
