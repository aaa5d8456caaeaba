import { beforeEach, describe, expect, it } from 'vitest';
import type { DeltaCodec, SignatureFeature } from '../../contracts/delta-codec.ts';
import type { Repository } from '../../contracts/repository.ts';
import { digestOf } from '../../domain/content-ref.ts';
import type { Digest, ManifestRef } from '../../domain/manifest.ts';
import { type Command, copies, encoded } from '../../testing/fakes/copies-codec.ts';
import { damageStored, eachWorld, fileEntry, noise, packedChunks, readTree, snapshotOf } from '../fixture.ts';
import { WRITTEN_DEPTH } from './made-delta.ts';

const BYTES = 300_000;
const PAGE = 3000;

/** A codec that puts no deltas together. */
const separate: DeltaCodec = {
  ...copies,
  signatures: { ...(copies.signatures as SignatureFeature), compose: undefined as never },
};

interface Image {
  readonly bytes: Buffer;
  readonly manifest: ManifestRef;
}

describe('a chunk of which a page changes in every snapshot', () => {
  const world = eachWorld();
  let repository: Repository;
  const images: Image[] = [];

  beforeEach(async () => {
    images.length = 0;
    repository = await world.open({ codecs: [copies] });
  });

  /** `turns` more snapshots; `pageOf` says which page is another, of a hundred. */
  async function grow(turns: number, pageOf = (turn: number) => turn % 100): Promise<void> {
    for (let left = turns; left > 0; left--) {
      const turn = images.length;
      const before = images.at(-1)?.bytes;
      images.push(
        await (before === undefined ? begin(noise(BYTES, 'table')) : change(before, turn, pageOf(turn))),
      );
    }
  }

  async function begin(bytes: Buffer): Promise<Image> {
    const session = await repository.ingest({ label: '0' });
    await session.addChunk(digestOf(bytes), bytes);
    return { bytes, manifest: await commit(session, bytes) };
  }

  async function change(before: Buffer, turn: number, pageAt: number): Promise<Image> {
    const at = pageAt * PAGE;
    const page = noise(PAGE, turn);
    const bytes = Buffer.concat([before.subarray(0, at), page, before.subarray(at + PAGE)]);
    const commands: Command[] = [[0, at], page.toString('base64'), [at + PAGE, BYTES - at - PAGE]];
    const payload = encoded(commands.filter((command) => typeof command === 'string' || command[1] > 0));
    const bases = [{ digest: digestOf(before), at: 0, bytes: BYTES }];
    const session = await repository.ingest({ label: `${turn}` });
    const made = { codec: 'copies', formatVersion: 1, payload, shared: false, bases };
    await session.addBytes(bytes, () => true, { made });
    return { bytes, manifest: await commit(session, bytes) };
  }

  async function commit(
    session: Awaited<ReturnType<Repository['ingest']>>,
    bytes: Buffer,
  ): Promise<ManifestRef> {
    const chunk = { digest: digestOf(bytes), bytes: BYTES };
    const manifest = await session.writeManifest([fileEntry('table', { ...chunk, chunks: [chunk] })]);
    await session.flush();
    await repository.commitSnapshot(snapshotOf(`s${images.length}`, manifest));
    await session.close();
    return manifest;
  }

  async function expectReadBack(image: Image | undefined): Promise<void> {
    if (image === undefined) throw new Error('there is no such snapshot');
    expect(await readTree(repository, image.manifest)).toEqual({ table: digestOf(image.bytes) });
  }

  const tables = () => {
    const digests = new Set<Digest>(images.map(({ bytes }) => digestOf(bytes)));
    return packedChunks(world.blobs).filter(({ digest }) => digests.has(digest));
  };
  const depths = () => tables().map(({ delta }) => delta?.depth ?? 0);
  const storedBytes = () => tables().reduce((sum, { payloadBytes }) => sum + payloadBytes, 0);

  it('costs at most twice what changed, is never many deltas deep, and is read back whichever it is', async () => {
    await grow(100);
    expect(Math.max(...depths())).toBe(WRITTEN_DEPTH);
    expect(depths().filter((depth) => depth === 0)).toHaveLength(1);
    expect(storedBytes() - BYTES).toBeLessThan(2 * 99 * PAGE);
    for (const at of [0, 1, 2, 3, WRITTEN_DEPTH, WRITTEN_DEPTH + 1, WRITTEN_DEPTH + 2, 70, 99])
      await expectReadBack(images[at]);
    expect(await repository.verify({ readData: true })).toMatchObject({ sound: true });
  });

  it('is read back when all others are gone, what it was merged from too, when it is optimised, and when the index is lost', async () => {
    await grow(60);
    const before = tables().length;
    for (let at = 0; at < 59; at++) await repository.removeSnapshot('web-1', `s${at}`);
    await repository.collect();
    expect(tables().length).toBeLessThan(before / 2);
    await repository.optimise();
    await repository.collect();
    await expectReadBack(images.at(-1));
    await repository.close();
    world.crash();
    repository = await world.open({ codecs: [copies], stateDir: `${world.stateDir}/anew` });
    await expectReadBack(images.at(-1));
  });

  it('costs next to nothing more where it is one and the same page', async () => {
    await grow(100, () => 7);
    expect(depths().filter((depth) => depth === 0)).toHaveLength(1);
    expect(storedBytes() - BYTES).toBeLessThan(1.1 * 99 * PAGE);
    await expectReadBack(images.at(-1));
  });

  it('is stored whole once merging would hardly be less', async () => {
    await grow(330);
    expect(depths().filter((depth) => depth === 0)).toHaveLength(2);
    expect(storedBytes() - BYTES).toBeLessThan(2.4 * 329 * PAGE);
    await expectReadBack(images.at(-1));
  });

  it('is stored whole where its codec puts no deltas together', async () => {
    await repository.close();
    world.crash();
    repository = await world.open({ codecs: [separate] });
    await grow(WRITTEN_DEPTH + 2);
    expect(depths()).toEqual([...Array.from({ length: WRITTEN_DEPTH + 1 }, (_, at) => at), 0]);
    await expectReadBack(images.at(-1));
  });

  it('is stored whole where what it would be merged from is damaged', async () => {
    await grow(WRITTEN_DEPTH + 1);
    await repository.close();
    world.crash();
    damageStored(world.blobs, noise(PAGE, WRITTEN_DEPTH - 2), 10);
    repository = await world.open({ codecs: [copies] });
    await grow(1);
    expect(depths().at(-1)).toBe(0);
    await expectReadBack(images.at(-1));
    expect(await repository.verify({ readData: true })).toMatchObject({ sound: false });
  });
});
