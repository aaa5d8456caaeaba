import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../domain/content-ref.ts';
import type { ChunkIndex } from '../chunk-index/chunk-index.ts';
import { PackWriter } from '../packs/pack-writer.ts';
import type { PortableStore } from '../store/portable-store.ts';
import { StoredFrames } from './stored-frames.ts';

/** A pack of one frame: a whole chunk, and the delta of another one. */
async function packed() {
  const whole = randomBytes(1000);
  const [digest, made, base] = [digestOf(whole), 'd'.repeat(64), 'b'.repeat(64)];
  const writer = new PackWriter();
  writer.append({ digest, bytes: whole.length, payload: whole });
  const delta = { codec: 'rsync', formatVersion: 1, depth: 1, bases: [base] };
  writer.append({ digest: made, bytes: 5000, payload: randomBytes(30), delta });
  const { pieces, frames } = await writer.finish();
  const bytes = Buffer.concat(pieces);
  const store = {
    stat: async () => ({ bytes: bytes.length }),
    read: async (_name: string, range?: { readonly offset: number; readonly length: number }) =>
      range === undefined ? bytes : bytes.subarray(range.offset, range.offset + range.length),
  };
  const [frame] = frames;
  const index = { find: () => ({ pack: 'packs/a', frame, at: 0, bytes: 1000, payloadBytes: 1000 }) };
  const open = async () => whole;
  const found = new StoredFrames(store as unknown as PortableStore, index as unknown as ChunkIndex, open);
  return { frame: await found.of(digest), digest, made, base };
}

describe('a stored frame', () => {
  it('says where its whole chunks lie among its deltas', async () => {
    const { frame, digest } = await packed();
    expect(frame?.lengths).toEqual([1000, 30]);
    expect(frame?.chunks).toMatchObject([{ digest, bytes: 1000, at: 0, place: 0 }]);
  });

  it('names all that it tells of: a delta tells what is in its base as well', async () => {
    const { frame, digest, made, base } = await packed();
    expect(frame?.digests.toSorted()).toEqual([digest, made, base].toSorted());
  });
});
