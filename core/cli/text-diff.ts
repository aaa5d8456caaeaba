/** Line differences of small texts, in the unified format (POSIX diff -u). */

interface Line {
  readonly mark: ' ' | '-' | '+';
  readonly text: string;
}

const CONTEXT = 3;
/** Lines × lines that the comparison may hold in memory. */
const MAX_CELLS = 4_000_000;

/** Decodes bytes that are text: UTF-8 without NUL. `undefined` otherwise. */
export function asText(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Hunks that lead from `before` to `after`; empty when equal, `undefined` when they differ in too many lines. */
export function unifiedDiff(before: string, after: string): string | undefined {
  const lines = diffLines(splitLines(before), splitLines(after));
  return lines === undefined ? undefined : hunks(lines).map(formatHunk).join('');
}

function splitLines(text: string): readonly string[] {
  return text === '' ? [] : text.split(/(?<=\n)/);
}

function diffLines(before: readonly string[], after: readonly string[]): readonly Line[] | undefined {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head += 1;
  let tail = 0;
  const room = Math.min(before.length, after.length) - head;
  while (tail < room && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  const middle = longestCommon(
    before.slice(head, before.length - tail),
    after.slice(head, after.length - tail),
  );
  if (middle === undefined) return undefined;
  const same = (text: string): Line => ({ mark: ' ', text });
  return [...before.slice(0, head).map(same), ...middle, ...before.slice(before.length - tail).map(same)];
}

/** Longest common subsequence by dynamic programming, walked from the front. */
function longestCommon(a: readonly string[], b: readonly string[]): readonly Line[] | undefined {
  const width = b.length + 1;
  if ((a.length + 1) * width > MAX_CELLS) return undefined;
  const length = new Uint32Array((a.length + 1) * width);
  const at = (row: number, column: number) => length[row * width + column] as number;
  for (let row = a.length - 1; row >= 0; row--) {
    for (let column = b.length - 1; column >= 0; column--) {
      length[row * width + column] =
        a[row] === b[column]
          ? at(row + 1, column + 1) + 1
          : Math.max(at(row + 1, column), at(row, column + 1));
    }
  }
  const lines: Line[] = [];
  for (let row = 0, column = 0; row < a.length || column < b.length; ) {
    if (row < a.length && column < b.length && a[row] === b[column]) {
      lines.push({ mark: ' ', text: a[row++] as string });
      column += 1;
    } else if (row < a.length && (column === b.length || at(row + 1, column) >= at(row, column + 1))) {
      lines.push({ mark: '-', text: a[row++] as string });
    } else {
      lines.push({ mark: '+', text: b[column++] as string });
    }
  }
  return lines;
}

interface Hunk {
  readonly beforeLine: number;
  readonly afterLine: number;
  readonly lines: readonly Line[];
}

function hunks(lines: readonly Line[]): readonly Hunk[] {
  const near = lines.map((_, index) =>
    lines.slice(Math.max(0, index - CONTEXT), index + CONTEXT + 1).some(({ mark }) => mark !== ' '),
  );
  const found: { beforeLine: number; afterLine: number; lines: Line[] }[] = [];
  let [before, after] = [1, 1];
  for (const [index, line] of lines.entries()) {
    if (near[index] === true) {
      if (near[index - 1] !== true) found.push({ beforeLine: before, afterLine: after, lines: [] });
      found.at(-1)?.lines.push(line);
    }
    if (line.mark !== '+') before += 1;
    if (line.mark !== '-') after += 1;
  }
  return found;
}

function formatHunk({ beforeLine, afterLine, lines }: Hunk): string {
  const count = (without: '+' | '-') => lines.filter(({ mark }) => mark !== without).length;
  const range = (line: number, length: number) => `${length === 0 ? line - 1 : line},${length}`;
  const body = lines.map(({ mark, text }) =>
    text.endsWith('\n') ? `${mark}${text}` : `${mark}${text}\n\\ No newline at end of file\n`,
  );
  return `@@ -${range(beforeLine, count('+'))} +${range(afterLine, count('-'))} @@\n${body.join('')}`;
}
