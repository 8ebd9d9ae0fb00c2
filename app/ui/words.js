// Numbers and states in words.

const FORMATS = new Map([
  ["application/pdf", "PDF"],
  ["application/epub+zip", "EPUB"],
  ["application/vnd.openxmlformats-officedocument.wordprocessingml.document", "Word"],
  ["text/html", "HTML"],
  ["text/markdown", "Markdown"],
  ["text/plain", "Text"],
  ["text/vtt", "Subtitles"],
  ["application/x-subrip", "Subtitles"],
  ["application/jsonl", "JSON Lines"],
  ["application/x-ndjson", "JSON Lines"],
]);

/** A number with thousands told apart. */
export function number(value) {
  return value.toLocaleString("en");
}

/** "1 page", "2 pages". */
export function plural(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** A chance from 0 to 1 as a whole percentage; what is not certain is not shown as certain. */
export function percent(chance) {
  const rounded = Math.round(chance * 100);
  return `${chance < 1 ? Math.min(99, rounded) : 100}%`;
}

/** What a chance of being right means. */
export function sureness(chance) {
  if (chance >= 0.9) return "almost certain";
  if (chance >= 0.75) return "likely";
  if (chance >= 0.5) return "more likely than not";
  return chance >= 0.25 ? "uncertain" : "a guess";
}

/** What a document's media type is called. */
export function format(mediaType) {
  if (mediaType.startsWith("text/x-")) return `${mediaType.slice(7)} code`;
  return FORMATS.get(mediaType) ?? mediaType;
}

/** "page 12 · Supply": where a citation stands. */
export function place(cited) {
  const parts = [cited.page ? `page ${number(cited.page)}` : null, cited.section, cited.speaker];
  return parts.filter(Boolean).join(" · ");
}

/** Milliseconds as people say them. */
export function duration(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** A sentence: a capital first, a full stop last. */
export function sentence(text) {
  const trimmed = text.trim();
  const begun = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
