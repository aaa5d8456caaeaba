import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ContentRef, contentRefOf } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rsyncCodec } from '../../../diff-rsync/codec.ts';
import { EitherCuts, nameContent } from './name-content.ts';
import { SignatureStore, signingCodec } from './signatures.ts';

const PAGE = 8192;
const PIECE = 512 * 1024;

let dir: string;
let signatures: SignatureStore;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-name-content-'));
  const codec = signingCodec([rsyncCodec()]);
  if (codec?.signatures === undefined) throw new Error('the codec signs');
  signatures = new SignatureStore(dir, { ...codec, signatures: codec.signatures });
});
afterEach(() => rm(dir, { recursive: true }));

describe('a table whose pages change', () => {
  it('keeps its cuts over many snapshots, each chunk a whole one of the last', async () => {
    const table = randomBytes(6 << 20);
    let before = await named(table);
    // The end of a file is no cut, so that what follows the last one may come to have others.
    const lengths = lengthsOf(before).slice(0, -1);
    for (let nth = 0; nth < 40; nth++) {
      for (let page = nth % 10; page < table.length / PAGE; page += 10)
        randomBytes(PAGE).copy(table, page * PAGE);
      before = await named(table, before);
      expect(lengthsOf(before).slice(0, lengths.length)).toEqual(lengths);
    }
    expect(lengthsOf(await contentRefOf([table])).slice(0, lengths.length)).not.toEqual(lengths);
  });

  it('is cut by its content when most of it is new', async () => {
    const before = await named(randomBytes(6 << 20));
    const other = randomBytes(6 << 20);
    expect(await named(other, before)).toEqual(await contentRefOf([other]));
  });

  it('is cut by its content behind an insertion', async () => {
    const bytes = randomBytes(8 << 20);
    const before = await named(bytes);
    const longer = Buffer.concat([bytes.subarray(0, 1 << 20), randomBytes(100), bytes.subarray(1 << 20)]);
    const shared = new Set(before.chunks.map(({ digest }) => digest));
    const now = await named(longer, before);
    const known = now.chunks.filter(({ digest }) => shared.has(digest));
    expect(known.length).toBeGreaterThanOrEqual(before.chunks.length - 3);
  });
});

describe('without a signature of what was there', () => {
  it('takes the cuts that give more of the earlier chunks', async () => {
    const table = randomBytes(6 << 20);
    const first = await named(table);
    // A page on each cut is another: by content they would all be elsewhere.
    let end = 0;
    for (const { bytes } of first.chunks.slice(0, -1)) {
      end += bytes;
      randomBytes(64).copy(table, end - 50);
    }
    const kept = await named(table, first);
    expect(lengthsOf(kept)).toEqual(lengthsOf(first));
    await rm(dir, { recursive: true });
    table.writeUInt8(table.readUInt8(3) ^ 1, 3);
    const now = await named(table, kept);
    expect(now.chunks.slice(1)).toEqual(kept.chunks.slice(1));
  });

  it('is cut by content when neither gives any', () => {
    const either = new EitherCuts({ digest: '', bytes: 9, chunks: [chunk(400_000), chunk(500_000)] });
    const plain = new EitherCuts(undefined);
    const bytes = randomBytes(3 << 20);
    for (const cuts of [either, plain]) cuts.update(bytes);
    expect(either.finish()).toEqual(plain.finish());
  });
});

function chunk(bytes: number) {
  return { digest: '00'.repeat(32), bytes };
}

function named(bytes: Buffer, before?: ContentRef): Promise<ContentRef> {
  return nameContent(signatures, 'var/lib/table', bytes.length, piecesOf(bytes), before);
}

async function* piecesOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

function lengthsOf({ chunks }: ContentRef): number[] {
  return chunks.map(({ bytes }) => bytes);
}
