// Lines that a file was wrapped at are no lines of a screen: they flow on, and the text stays what it is.

const WIDEST = 100; // characters of a line that somebody wrapped
const LEAST = 30; // shorter lines were not ended for want of room

/** The indices of the line breaks in a text that stand where the next word had no room. */
export function softBreaks(text) {
  const lines = text.split("\n");
  const width = Math.max(...lines.map((line) => line.length));
  if (width > WIDEST) return [];
  const found = [];
  let end = -1;
  for (const [number, line] of lines.slice(0, -1).entries()) {
    end += line.length + 1;
    const [next] = lines[number + 1].split(" ", 1);
    if (line.length >= LEAST && next !== "" && line.length + 1 + next.length > width) found.push(end);
  }
  return found;
}
