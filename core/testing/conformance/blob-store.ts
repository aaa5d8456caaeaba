/** The suite every `BlobStore` driver must pass; also for your own: see plugins/storage-local for the twenty lines. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../contracts/blob-store.ts';
import { release } from '../../domain/release.ts';
import { collect } from '../collect.ts';

/** What a suite needs: a fresh empty store, and a second opening of the same one. */
export interface BlobStoreUnderTest {
  readonly store: BlobStore;
  /** Opens the same store again, as another process would. */
  reopen(): Promise<BlobStore>;
  /** Removes everything. Called after the suite has closed the stores. */
  cleanUp(): Promise<void>;
}

const bytes = (text: string) => Buffer.from(text);

/** Registers the suite with vitest. `make` is called before each case. */
export function blobStoreConformance(name: string, make: () => Promise<BlobStoreUnderTest>): void {
  describe(`${name}: BlobStore conformance`, () => {
    let subject: BlobStoreUnderTest;
    let store: BlobStore;
    beforeEach(async () => {
      subject = await make();
      store = subject.store;
    });
    afterEach(async () => {
      await store.close();
      await subject.cleanUp();
    });

    describe('put and get', () => putAndGet(() => store));
    describe('names', () => names(() => store));
    describe('list', () => list(() => store));
    describe('durability and locking', () => reopening(() => subject));
  });
}

function putAndGet(store: () => BlobStore): void {
  it('gives back what was put, empty blobs and streams included', async () => {
    await store().put('a/b.bin', bytes('over'));
    await store().put('empty', new Uint8Array(0));
    await store().put('streamed', pieces('o', 'ver', '', 'dub'));
    expect(Buffer.from(await store().get('a/b.bin')).toString()).toBe('over');
    expect(await store().get('empty')).toHaveLength(0);
    expect(Buffer.from(await store().get('streamed')).toString()).toBe('overdub');
    expect(await store().stat('streamed')).toEqual({ name: 'streamed', bytes: 7 });
  });

  it('gives bytes away: who reads may free their buffer, and the next reads the same', async () => {
    const blob = Buffer.alloc(600_000, 'abc');
    await store().put('a', blob);
    for (const range of [undefined, { offset: 0, length: 300_000 }, { offset: 300_000, length: 300_000 }]) {
      const bytes = await store().get('a', range);
      release(bytes);
      expect(bytes.length).toBe(0);
    }
    expect(blob.equals(await store().get('a'))).toBe(true);
  });

  it('reads ranges and cuts those that go past the end', async () => {
    await store().put('digits', bytes('0123456789'));
    const range = async (offset: number, length: number) =>
      Buffer.from(await store().get('digits', { offset, length })).toString();
    expect(await range(0, 3)).toBe('012');
    expect(await range(4, 2)).toBe('45');
    expect(await range(8, 100)).toBe('89');
    expect(await range(10, 5)).toBe('');
    expect(await range(3, 0)).toBe('');
  });

  it('overwrites, unless createOnly', async () => {
    await store().put('x', bytes('one'));
    await store().put('x', bytes('2'));
    await expect(store().put('x', bytes('three'), { createOnly: true })).rejects.toMatchObject({
      name: 'BlobExists',
    });
    expect(Buffer.from(await store().get('x')).toString()).toBe('2');
    await store().put('y', bytes('new'), { createOnly: true });
    expect(await store().stat('y')).toEqual({ name: 'y', bytes: 3 });
  });

  it('lets exactly one of many createOnly puts win', async () => {
    const tries = Array.from({ length: 8 }, (_, at) =>
      store().put('race', bytes(`writer ${at}`), { createOnly: true }),
    );
    const won = (await Promise.allSettled(tries)).flatMap((result, at) =>
      result.status === 'fulfilled' ? [at] : [],
    );
    expect(won).toHaveLength(1);
    expect(Buffer.from(await store().get('race')).toString()).toBe(`writer ${won[0]}`);
  });

  it('says BlobNotFound for a missing blob, undefined from stat, and removes idempotently', async () => {
    await expect(store().get('nothing')).rejects.toMatchObject({ name: 'BlobNotFound' });
    await expect(store().get('no/thing', { offset: 0, length: 1 })).rejects.toMatchObject({
      name: 'BlobNotFound',
    });
    expect(await store().stat('nothing')).toBeUndefined();
    await store().put('gone', bytes('x'));
    await store().remove('gone');
    await store().remove('gone');
    expect(await store().stat('gone')).toBeUndefined();
  });

  it('keeps the old blob, and nothing in part, when a stream fails', async () => {
    await store().put('kept', bytes('old'));
    const failing = async function* () {
      yield bytes('half');
      throw new Error('the source broke');
    };
    await expect(store().put('kept', failing())).rejects.toThrow('the source broke');
    await expect(store().put('fresh', failing())).rejects.toThrow('the source broke');
    expect(Buffer.from(await store().get('kept')).toString()).toBe('old');
    expect((await collect(store().list(''))).map((blob) => blob.name)).toEqual(['kept']);
  });

  it('stops when its signal is aborted', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(store().put('never', bytes('x'), { signal })).rejects.toThrow('enough');
    expect(await store().stat('never')).toBeUndefined();
  });

  it('tells its space, or that it does not know', async () => {
    const space = await store().space();
    if (space === undefined) return;
    expect(space.freeBytes).toBeGreaterThanOrEqual(0);
    expect(space.totalBytes).toBeGreaterThanOrEqual(space.freeBytes);
  });
}

function names(store: () => BlobStore): void {
  it.each([
    '',
    '/a',
    'a/',
    'a//b',
    '../a',
    'a/../b',
    '.',
    '.hidden',
    'A',
    'a b',
    'a\0b',
    'ä',
    'x'.repeat(201),
  ])('refuses %j', async (name) => {
    await expect(store().put(name, bytes('x'))).rejects.toThrow();
    await expect(store().get(name)).rejects.toThrow();
    expect(await collect(store().list(''))).toEqual([]);
  });

  it('takes the longest and the oddest good ones', async () => {
    for (const name of [`${'d'.repeat(99)}/${'n'.repeat(100)}`, '0-_./0', 'a.b-c_d/e.json']) {
      await store().put(name, bytes(name));
      expect(Buffer.from(await store().get(name)).toString()).toBe(name);
    }
  });
}

function list(store: () => BlobStore): void {
  it('is in byte order of whole names, and by prefix', async () => {
    const all = ['a', 'a-b', 'a.c', 'a0', 'a_b', 'ab/c', 'ab/d/e', 'ab/d0', 'ab0', 'b/a'];
    for (const name of all.toReversed()) await store().put(name, bytes(name));
    const listed = async (prefix: string) =>
      (await collect(store().list(prefix))).map((blob) => `${blob.name}:${blob.bytes}`);
    const expected = (prefix: string) =>
      all
        .filter((name) => name.startsWith(prefix))
        .sort((x, y) => Buffer.compare(bytes(x), bytes(y)))
        .map((name) => `${name}:${name.length}`);
    for (const prefix of ['', 'a', 'ab', 'ab/', 'ab/d', 'ab/d/', 'b', 'nothing/here']) {
      expect(await listed(prefix), prefix).toEqual(expected(prefix));
    }
  });
}

function reopening(subject: () => BlobStoreUnderTest): void {
  it('shows another opening what was put', async () => {
    await subject().store.put('kept/here', bytes('still'));
    await subject().store.close();
    const again = await subject().reopen();
    expect(Buffer.from(await again.get('kept/here')).toString()).toBe('still');
    await again.close();
  });

  it('gives its lock to one holder, and frees it on close', async () => {
    await subject().store.lock('first');
    const second = await subject().reopen();
    await expect(second.lock('second')).rejects.toMatchObject({
      name: 'BlobStoreLocked',
      message: expect.stringContaining('first'),
    });
    await subject().store.close();
    await second.lock('second');
    await second.close();
  });
}

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield bytes(text);
}
