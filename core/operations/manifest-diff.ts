/** What differs between two images: one streaming pass over both manifests, in order. */

import type { DiffEntry } from '../contracts/control.ts';
import type { Entry } from '../domain/manifest.ts';
import { comparePaths } from '../domain/path.ts';
import { WaitingGarbage } from '../waiting-garbage.ts';

/** Steps between two looks at the memory: of a million entries each leaves some. */
const LOOK_STEPS = 4096;

/**
 * Differences in manifest order. Memory stays flat. A directory whose time alone changed is not listed: what changed
 * inside it is.
 */
export async function* diffManifests(
  before: AsyncIterable<Entry>,
  after: AsyncIterable<Entry>,
): AsyncGenerator<DiffEntry> {
  const left = before[Symbol.asyncIterator]();
  const right = after[Symbol.asyncIterator]();
  try {
    const garbage = new WaitingGarbage();
    let [old, young] = await Promise.all([left.next(), right.next()]);
    for (let step = 1; !old.done || !young.done; step++) {
      if (step % LOOK_STEPS === 0) garbage.check();
      const order = old.done ? 1 : young.done ? -1 : comparePaths(old.value.path, young.value.path);
      if (order < 0) {
        yield { path: old.value.path, change: 'removed', before: old.value };
        old = await left.next();
      } else if (order > 0) {
        yield { path: young.value.path, change: 'added', after: young.value };
        young = await right.next();
      } else {
        const change = compareEntries(old.value, young.value);
        if (change !== undefined) {
          yield { path: old.value.path, change, before: old.value, after: young.value };
        }
        [old, young] = await Promise.all([left.next(), right.next()]);
      }
    }
  } finally {
    await Promise.all([left.return?.(), right.return?.()]);
  }
}

/** How two entries of one path differ; undefined when nothing worth telling does. */
export function compareEntries(before: Entry, after: Entry): DiffEntry['change'] | undefined {
  if (before.type !== after.type) return 'type';
  const content =
    before.content?.digest !== after.content?.digest ||
    before.target !== after.target ||
    before.device?.major !== after.device?.major ||
    before.device?.minor !== after.device?.minor;
  if (content) return 'content';
  const metadata =
    before.mode !== after.mode ||
    before.uid !== after.uid ||
    before.gid !== after.gid ||
    (before.type !== 'directory' && before.mtimeNs !== after.mtimeNs) ||
    !sameAttributes(before.xattrs, after.xattrs);
  return metadata ? 'metadata' : undefined;
}

function sameAttributes(a: Entry['xattrs'] = {}, b: Entry['xattrs'] = {}): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}
