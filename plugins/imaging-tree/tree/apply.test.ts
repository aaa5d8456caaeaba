/** A tree that cannot be made by two threads: nothing goes on behind it. */

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ApplyOptions,
  type ContentRef,
  type ContentSource,
  digestOf,
  type Entry,
} from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { applyTree } from './apply.ts';

const OWN = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mtimeNs: '1700000000000000000' };
const ROOT: Entry = { path: '', type: 'directory', mode: 0o755, ...OWN };
const PIECE = Buffer.alloc(10, 'piece');
/** Far more than come while a thread is started. */
const PIECES = 1_000_000;

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'overdub-apply-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function file(path: string, bytes: number): Entry {
  const digest = digestOf(new Uint8Array(bytes === 0 ? 0 : 1));
  const content: ContentRef = { digest, bytes, chunks: bytes === 0 ? [] : [{ digest, bytes }] };
  return { path, type: 'file', mode: 0o644, ...OWN, content };
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function apply(target: readonly Entry[], contents: ContentSource, more: Partial<ApplyOptions> = {}) {
  const options = {
    signal: new AbortController().signal,
    onProgress: () => undefined,
    excludes: [],
    ...more,
  };
  return applyTree(root, each(target), each([ROOT]), contents, {
    blank: true,
    mayUseThread: true,
    ...options,
  });
}

/** Contents that come by and by, and how many pieces of them were taken. */
class Slow implements ContentSource {
  taken = 0;

  announce(): void {
    // Nothing is fetched ahead.
  }

  open() {
    return { verified: true, [Symbol.asyncIterator]: () => this.#pieces() };
  }

  async *#pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < PIECES; at++) {
      this.taken += 1;
      await new Promise((resolve) => setImmediate(resolve));
      yield PIECE;
    }
  }
}

describe.skipIf(availableParallelism() < 2)('what cannot be made', () => {
  it('ends a large file behind it, with its own error', async () => {
    const slow = new Slow();
    const target = [ROOT, file('a', 0), file(`b${'x'.repeat(300)}`, 0), file('c', PIECE.length * PIECES)];
    await expect(apply(target, slow)).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    expect(slow.taken).toBeLessThan(PIECES);
    expect(readdirSync(root)).toEqual(['a']);
  });

  it('leaves no thread and no handle behind, nor do excludes that are none', async () => {
    const count = () => [readdirSync('/proc/self/task').length, readdirSync('/proc/self/fd').length] as const;
    const deep = (name: string): Entry[] => [
      { ...ROOT, path: name },
      { ...ROOT, path: `${name}/in` },
      file(`${name}/in/${'x'.repeat(300)}`, 0),
    ];
    // Whatever is loaded once is there then.
    await apply([ROOT, file('first', 0)], new Slow());
    const [threads, handles] = count();
    await expect(apply([ROOT, ...deep('d')], new Slow())).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    await expect(apply([ROOT], new Slow(), { excludes: ['!x'] })).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
    await expect.poll(() => count()[0]).toBeLessThanOrEqual(threads);
    expect(count()[1]).toBeLessThanOrEqual(handles);
  });
});
