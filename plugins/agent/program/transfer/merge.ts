/** Records put together: some paths taken again, the rest as it was. */

import { comparePaths, isUnder } from '@overdub/core/agent';
import type { RecordLine } from './record.ts';

/** `lines` without what lies at or below `paths`. */
export async function* without(
  lines: AsyncIterable<RecordLine>,
  paths: readonly string[],
): AsyncGenerator<RecordLine> {
  for await (const line of lines) {
    if (!paths.some((path) => isUnder(line.entry.path, path))) yield line;
  }
}

/** Of `lines` only what lies at or below `paths`. */
export async function* inside(
  lines: AsyncIterable<RecordLine>,
  paths: readonly string[],
): AsyncGenerator<RecordLine> {
  for await (const line of lines) if (paths.some((path) => isUnder(line.entry.path, path))) yield line;
}

/** Paths of hard links to what lies at or below `paths`. */
export async function linksInto(
  lines: AsyncIterable<RecordLine>,
  paths: readonly string[],
): Promise<string[]> {
  const links: string[] = [];
  for await (const { entry } of lines) {
    const { type, target = '', path } = entry;
    if (type === 'hardlink' && paths.some((one) => isUnder(target, one))) links.push(path);
  }
  return links;
}

/** `lines`, with every content as if it were new. */
export async function* asChanged(lines: AsyncIterable<RecordLine>): AsyncGenerator<RecordLine> {
  for await (const line of lines) yield line.entry.content === undefined ? line : changedLine(line);
}

/** By name: a line that is not parsed yet (`HeldLine`) has nothing that could be spread. */
function changedLine({ entry, stamp, before, copy }: RecordLine): RecordLine {
  return {
    entry,
    changed: true,
    ...(stamp === undefined ? {} : { stamp }),
    ...(before === undefined ? {} : { before }),
    ...(copy === undefined ? {} : { copy }),
  };
}

/** No lines. */
export async function* nothing(): AsyncGenerator<RecordLine> {}

/** Two streams in manifest order as one; of equal paths the second's line counts. */
export async function* merged(
  first: AsyncIterable<RecordLine>,
  second: AsyncIterable<RecordLine>,
): AsyncGenerator<RecordLine> {
  const a = first[Symbol.asyncIterator]();
  const b = second[Symbol.asyncIterator]();
  let left = await a.next();
  let right = await b.next();
  while (left.done !== true || right.done !== true) {
    const order =
      left.done === true
        ? 1
        : right.done === true
          ? -1
          : comparePaths(left.value.entry.path, right.value.entry.path);
    if (order < 0) {
      yield (left as IteratorYieldResult<RecordLine>).value;
      left = await a.next();
      continue;
    }
    yield (right as IteratorYieldResult<RecordLine>).value;
    if (order === 0) left = await a.next();
    right = await b.next();
  }
}
