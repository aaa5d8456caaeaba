import { zstdCompressSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import type { IngestSession, MadeFrame, Repository } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import { commitTree, eachWorld, fileEntry, noise, prose, readTree, snapshotOf } from '../fixture.ts';

const world = eachWorld();
let repository: Repository;
let session: IngestSession;
beforeEach(async () => {
  repository = await world.open();
  session = await repository.ingest({ label: 'frames' });
});

const chunks = Array.from({ length: 5 }, (_, at) => prose(40_000 + at, `chunk ${at}`));

function frameOf(parts: readonly Uint8Array[], over: Partial<MadeFrame> = {}): MadeFrame {
  const lengths = parts.map((part) => part.length);
  return { encoding: 'zstd', stored: zstdCompressSync(Buffer.concat(parts)), lengths, ...over };
}

const whatever = () => undefined;
const refused = (frame: MadeFrame) =>
  expect(session.addFrame(frame, whatever)).rejects.toMatchObject({ code: 'INPUT_INVALID' });

/** Is this run of bytes in some pack, as it is? */
function isStored(stored: Uint8Array): boolean {
  return [...world.blobs.blobs.values()].some((blob) => Buffer.from(blob).includes(Buffer.from(stored)));
}

async function commitChunks(parts: readonly Buffer[]): Promise<void> {
  const entries = parts.map((bytes, at) => {
    const chunk = { digest: digestOf(bytes), bytes: bytes.length };
    return fileEntry(`file-${at}`, { ...chunk, chunks: [chunk] });
  });
  const manifest = await session.writeManifest(entries);
  await session.flush();
  await repository.commitSnapshot(snapshotOf('s1', manifest));
  const expected = parts.map((bytes, at) => [`file-${at}`, digestOf(bytes)]);
  expect(await readTree(repository, manifest)).toEqual(Object.fromEntries(expected));
}

describe('a frame made elsewhere', () => {
  it('is kept byte by byte, tells what it holds, and is read back, also from a lost index', async () => {
    const frame = frameOf(chunks);
    const found: string[] = [];
    await session.addFrame(frame, (refs) => found.push(...refs.map(({ digest }) => digest)));
    expect(found).toEqual(chunks.map(digestOf));
    await commitChunks(chunks);
    expect(isStored(frame.stored)).toBe(true);
    await session.close();
    expect((await repository.verify({ readData: true })).sound).toBe(true);
    await repository.close();
    world.crash();
    repository = await world.open({ stateDir: `${world.stateDir}/anew` });
    for (const chunk of chunks)
      expect(digestOf(await repository.readChunk(digestOf(chunk)))).toBe(digestOf(chunk));
  });

  it('can be read from before it is durable, and may be raw', async () => {
    const parts = [noise(5000, 'a'), noise(70_000, 'b')];
    await session.addFrame(frameOf(parts, { encoding: 'raw', stored: Buffer.concat(parts) }), whatever);
    const [, last] = parts as [Buffer, Buffer];
    const chunk = { digest: digestOf(last), bytes: last.length };
    const reader = session.openContent({ ...chunk, chunks: [chunk] });
    expect(Buffer.from(await reader.read(0, last.length)).equals(last)).toBe(true);
    await commitChunks(parts);
  });

  it('of which some chunks are known, or one comes twice, is taken apart: nothing is stored twice', async () => {
    const [first, second, ...rest] = chunks as [Buffer, Buffer, ...Buffer[]];
    await commitTree(repository, 's0', { first });
    const before = (await repository.stats()).chunks;
    const mixed = frameOf([first, second]);
    await session.addFrame(mixed, whatever);
    const twice = frameOf([...rest, ...rest]);
    await session.addFrame(twice, whatever);
    await commitChunks([first, second, ...rest]);
    expect(isStored(mixed.stored) || isStored(twice.stored)).toBe(false);
    const pages = 2;
    expect((await repository.stats()).chunks - before).toBe(1 + rest.length + pages);
  });

  it('is taken apart where most of it resembles what is stored', async () => {
    const old = Array.from({ length: 4 }, (_, at) => prose(200_000, `program ${at}`));
    await session.addFrame(frameOf(old), whatever);
    const changed = old.map((bytes) =>
      Buffer.concat([bytes.subarray(0, 100_000), Buffer.from('!'), bytes.subarray(100_000)]),
    );
    const frame = frameOf(changed);
    await session.addFrame(frame, whatever);
    await session.flush();
    expect(isStored(frame.stored)).toBe(false);
    const other = frameOf(Array.from({ length: 4 }, (_, at) => prose(200_000, `new ${at}`)));
    await session.addFrame(other, whatever);
    await session.flush();
    expect(isStored(other.stored)).toBe(true);
  });

  it('is not stored when the caller does not admit what it holds', async () => {
    const no = new Error('not asked for');
    const refusal = session.addFrame(frameOf(chunks), () => {
      throw no;
    });
    await expect(refusal).rejects.toBe(no);
    expect(await session.missing(chunks.map(digestOf))).toEqual(chunks.map(() => true));
  });

  it('that is damaged, cut off, longer, or of other lengths is refused, and the session goes on', async () => {
    const frame = frameOf(chunks);
    const { stored, lengths } = frame;
    await refused({ ...frame, stored: stored.subarray(0, -1) });
    await refused({ ...frame, stored: Buffer.concat([stored, Buffer.from('x')]) });
    await refused({ ...frame, lengths: lengths.slice(1) });
    await refused({ ...frame, encoding: 'raw' });
    for (const wrong of [
      [],
      [0, ...lengths],
      [-1, ...lengths],
      [1.5],
      [9 * 2 ** 20],
      Array(3).fill(8 * 2 ** 20),
    ])
      await refused({ ...frame, lengths: wrong });
    expect(await session.missing(chunks.map(digestOf))).toEqual(chunks.map(() => true));
    await session.addFrame(frame, whatever);
    await commitChunks(chunks);
  });

  it('with bytes changed is refused, or is admitted by the names of what it really makes', async () => {
    const frame = frameOf(chunks);
    const right = new Set(chunks.map(digestOf));
    for (let at = 0; at < frame.stored.length; at += 9973) {
      const stored = Buffer.from(frame.stored);
      stored[at] = (stored[at] as number) ^ 0x10;
      const admit = (refs: readonly { readonly digest: string }[]) => {
        if (!refs.every(({ digest }) => right.has(digest))) throw new Error('not asked for');
      };
      await expect(session.addFrame({ ...frame, stored }, admit)).rejects.toThrow();
    }
    expect(await session.missing([...right])).toEqual(chunks.map(() => true));
  });

  it('that would make far more than it says is refused without being made', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(64 * 2 ** 20));
    await refused({ encoding: 'zstd', stored: bomb, lengths: [1_000_000] });
    // The header may lie as well: what comes out is bounded by the lengths.
    const lying = Buffer.from(bomb);
    lying.writeUInt32LE(8 * 2 ** 20, (lying[4] as number) & 0x20 ? 5 : 6);
    await refused({ encoding: 'zstd', stored: lying, lengths: [8 * 2 ** 20] });
  });
});
