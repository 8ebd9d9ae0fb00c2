// The API counts positions in code points, JavaScript's strings in UTF-16 units: all conversions are here.

const PAIR = /[\ud800-\udbff][\udc00-\udfff]/g;

/** How many code points a string has; a surrogate without its other half is one. */
export function count(text) {
  return text.length - (text.match(PAIR)?.length ?? 0);
}

/** The UTF-16 index of a code point's offset in a string, clipped to it. */
export function indexAt(text, offset) {
  let index = 0;
  for (let left = offset; left > 0 && index < text.length; left -= 1) {
    index += text.codePointAt(index) > 0xffff ? 2 : 1;
  }
  return index;
}
