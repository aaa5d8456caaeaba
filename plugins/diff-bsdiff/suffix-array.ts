/**
 * Suffix arrays in linear time: SA-IS (G. Nong, S. Zhang, W. H. Chan: Two Efficient Algorithms for Linear Time Suffix
 * Array Construction, 2011).
 */

/** Start positions of the suffixes of `text` in their order. Takes some 10 bytes of memory for each one of text. */
export function suffixArray(text: Uint8Array): Int32Array {
  return sort(text, 255);
}

type Text = Uint8Array | Int32Array;

const EMPTY = -1;

function sort(text: Text, largest: number): Int32Array {
  const length = text.length;
  if (length < 2) return Int32Array.from({ length }, (_, i) => i);
  const smaller = sTypes(text);
  const ranges = new Ranges(text, smaller, largest);
  const starts = lmsPositions(smaller);
  const suffixes = new Int32Array(length);
  induce(text, smaller, ranges, starts, suffixes);
  if (starts.length === 0) return suffixes;
  const { names, count } = nameSubstrings(text, starts, suffixes);
  const order = count === starts.length ? inverted(names) : sort(names, count - 1);
  for (let i = 0; i < order.length; i++) order[i] = starts[order[i] as number] as number;
  induce(text, smaller, ranges, order, suffixes);
  return suffixes;
}

/** 1 where a suffix is smaller than the next one (S-type). */
function sTypes(text: Text): Uint8Array {
  const types = new Uint8Array(text.length);
  for (let i = text.length - 2; i >= 0; i--) {
    const here = text[i] as number;
    const next = text[i + 1] as number;
    types[i] = here < next || (here === next && types[i + 1] === 1) ? 1 : 0;
  }
  return types;
}

/** S-type positions after an L-type one, ascending. */
function lmsPositions(smaller: Uint8Array): Int32Array {
  let count = 0;
  for (let i = 1; i < smaller.length; i++) if (smaller[i] === 1 && smaller[i - 1] === 0) count++;
  const positions = new Int32Array(count);
  let at = 0;
  for (let i = 1; i < smaller.length; i++) if (smaller[i] === 1 && smaller[i - 1] === 0) positions[at++] = i;
  return positions;
}

/** Where each symbol's L-type and S-type suffixes begin in the array. */
class Ranges {
  readonly l: Int32Array;
  readonly s: Int32Array;
  readonly next: Int32Array;

  constructor(text: Text, smaller: Uint8Array, largest: number) {
    this.l = new Int32Array(largest + 2);
    this.s = new Int32Array(largest + 2);
    this.next = new Int32Array(largest + 2);
    for (let i = 0; i < text.length; i++) {
      const symbol = text[i] as number;
      if (smaller[i] === 0) this.s[symbol] = (this.s[symbol] as number) + 1;
      else this.l[symbol + 1] = (this.l[symbol + 1] as number) + 1;
    }
    for (let symbol = 0; symbol <= largest; symbol++) {
      this.s[symbol] = (this.s[symbol] as number) + (this.l[symbol] as number);
      this.l[symbol + 1] = (this.l[symbol + 1] as number) + (this.s[symbol] as number);
    }
  }
}

/** Fills `suffixes` with all suffixes in the order that the given order of LMS suffixes leads to. */
function induce(
  text: Text,
  smaller: Uint8Array,
  ranges: Ranges,
  lms: Int32Array,
  suffixes: Int32Array,
): void {
  const { next } = ranges;
  const length = text.length;
  const put = (suffix: number): void => {
    const symbol = text[suffix] as number;
    const at = next[symbol] as number;
    next[symbol] = at + 1;
    suffixes[at] = suffix;
  };
  suffixes.fill(EMPTY);
  next.set(ranges.s);
  for (let i = 0; i < lms.length; i++) put(lms[i] as number);
  next.set(ranges.l);
  put(length - 1);
  for (let i = 0; i < length; i++) {
    const suffix = suffixes[i] as number;
    if (suffix >= 1 && smaller[suffix - 1] === 0) put(suffix - 1);
  }
  next.set(ranges.l);
  for (let i = length - 1; i >= 0; i--) {
    const suffix = suffixes[i] as number;
    if (suffix < 1 || smaller[suffix - 1] === 0) continue;
    const symbol = text[suffix - 1] as number;
    const at = (next[symbol + 1] as number) - 1;
    next[symbol + 1] = at;
    suffixes[at] = suffix - 1;
  }
}

/** A name for each LMS substring, in text order; equal substrings get equal names, larger ones larger. */
function nameSubstrings(
  text: Text,
  starts: Int32Array,
  suffixes: Int32Array,
): { readonly names: Int32Array; readonly count: number } {
  const indexOf = new Int32Array(text.length).fill(EMPTY);
  for (let i = 0; i < starts.length; i++) indexOf[starts[i] as number] = i;
  const endOf = (index: number): number => starts[index + 1] ?? text.length;
  const names = new Int32Array(starts.length);
  let name = -1;
  let last = EMPTY;
  for (let i = 0; i < suffixes.length; i++) {
    const suffix = suffixes[i] as number;
    const index = suffix < 0 ? EMPTY : (indexOf[suffix] as number);
    if (index === EMPTY) continue;
    if (last === EMPTY || !sameSubstring(text, starts[last] as number, endOf(last), suffix, endOf(index)))
      name++;
    names[index] = name;
    last = index;
  }
  return { names, count: name + 1 };
}

/** Both run to the start of the next LMS suffix, that one included; one that meets the end of the text is alone. */
function sameSubstring(text: Text, a: number, aEnd: number, b: number, bEnd: number): boolean {
  const length = aEnd - a;
  if (bEnd - b !== length || aEnd === text.length || bEnd === text.length) return false;
  for (let i = 0; i <= length; i++) if (text[a + i] !== text[b + i]) return false;
  return true;
}

/** Names that are all different are ranks already. */
function inverted(names: Int32Array): Int32Array {
  const order = new Int32Array(names.length);
  for (let i = 0; i < names.length; i++) order[names[i] as number] = i;
  return order;
}
