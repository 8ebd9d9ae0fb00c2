// Lines that a file was wrapped at are no lines of a screen: they flow on, and the text stays what it is.

const WIDEST = 100; // characters of a line that somebody wrapped
const LEAST = 30; // shorter lines were not ended for want of room

/** The line breaks in a text that stand where the next word had no room, as [first, last) of its indices. */
export function softBreaks(text) {
  const breaks = [...text.matchAll(/\r?\n/g)].map((found) => [found.index, found.index + found[0].length]);
  const ends = [...breaks.map(([first]) => first), text.length];
  const starts = [0, ...breaks.map(([, last]) => last)];
  const lengths = ends.map((end, line) => end - starts[line]);
  const width = Math.max(...lengths);
  if (width > WIDEST) return [];
  return breaks.filter((_, line) => {
    const next = /^[^\s]*/.exec(text.slice(starts[line + 1], starts[line + 1] + WIDEST))[0];
    return lengths[line] >= LEAST && next !== "" && lengths[line] + 1 + next.length > width;
  });
}
