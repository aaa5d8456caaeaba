/** The cases of {@link SignatureFeature.encode}: targets that are whole in memory, part of a file. */

import { expect, it } from 'vitest';
import type { InPlace, SignatureFeature, SignedBase } from '../../contracts/delta-codec.ts';
import { databasePages, editPages, noise } from './delta-samples.ts';
import { collected, deltaOf, patched, pieces, sameBytes, signedBase } from './signature-streams.ts';

export function wholeTargets(feature: SignatureFeature): void {
  const base = databasePages(400_000, 31);
  const target = editPages(base, 30, 32);

  it('signs the same with what the source was before at hand', async () => {
    const previous = await signedBase(feature, base, 512);
    const options = { sourceBytes: target.length, blockBytes: 512 };
    const signed = await collected(feature.sign(pieces(target, 4096), { ...options, previous }));
    expect(sameBytes(signed, (await signedBase(feature, target, 512)).signature)).toBe(true);
    const cut = { ...previous, signature: previous.signature.subarray(0, 100) };
    expect(
      sameBytes(await collected(feature.sign(pieces(target, 4096), { ...options, previous: cut })), signed),
    ).toBe(true);
  });

  it('never says that more stayed in place than did, and says so before it asks for more', async () => {
    const previous = await signedBase(feature, base, 512);
    const told: number[] = [];
    let asked = 0;
    const source = async function* () {
      for (const piece of [base.subarray(0, 4096), target.subarray(4096, 8192), noise(4096, 33)]) {
        if (told.length > 0) expect(told.length).toBe(asked);
        yield piece;
        asked += 1;
      }
    };
    const onStayed = (bytes: number) => told.push(bytes);
    await collected(feature.sign(source(), { sourceBytes: 12_288, blockBytes: 512, previous, onStayed }));
    // A codec that does not compare says nothing.
    if (told.length === 0) return;
    expect(told[0]).toBe(4096);
    expect(told[1]).toBeLessThanOrEqual(4096);
    expect(told[2]).toBe(0);
  });

  it.skipIf(feature.encode === undefined)(
    'encodes the chunks of a file that was edited in place',
    async () => {
      const before = await signedBase(feature, base, 512);
      const now = await signedBase(feature, target, 512);
      const { made, bytes } = await encodedChunks(feature, [before], base, target, (at) => ({
        known: now,
        at,
        base: 0,
      }));
      expect(sameBytes(made, target)).toBe(true);
      expect(bytes).toBeLessThan((await deltaOf(feature, [before], target)).length + 500);
      const searched = await encodedChunks(feature, [before], base, target, () => undefined);
      expect(sameBytes(searched.made, target)).toBe(true);
    },
  );

  it.skipIf(feature.encode === undefined)(
    'takes what it is told stayed in place from there, though the blocks are too long to tell',
    async () => {
      const page = 4096;
      const edited = new Uint8Array(base);
      for (let at = 0; at < base.length; at += 10 * page) edited.set(noise(page, at), at);
      const stayed = (at: number, length: number) => {
        const ranges: { from: number; to: number }[] = [];
        for (let start = 0; start < base.length; start += page) {
          const [from, to] = [Math.max(0, start - at), Math.min(length, start + page - at)];
          if (from < to && (start / page) % 10 !== 0) ranges.push({ from, to });
        }
        return ranges;
      };
      const before = await signedBase(feature, base, 16 * page);
      const { made, bytes } = await encodedChunks(feature, [before], base, edited, (at, length) => ({
        known: { stayed: stayed(at, length) },
        at,
        base: 0,
      }));
      expect(sameBytes(made, edited)).toBe(true);
      expect(bytes).toBeLessThan(Math.ceil(base.length / 10 / page) * page + 2000);
    },
  );

  it.skipIf(feature.encode === undefined)(
    'copies from elsewhere only what is long enough to be worth it',
    async () => {
      const [page, far] = [4096, 20_000];
      const edited = new Uint8Array(base);
      edited.set(base.subarray(50 * page, 51 * page), page);
      edited.set(base.subarray(60 * page, 66 * page), 20 * page);
      const chunk = edited.subarray(0, 30 * page);
      const [before, now] = [await signedBase(feature, base, 512), await signedBase(feature, edited, 512)];
      const index = await feature.index([before]);
      const encode = feature.encode as NonNullable<typeof feature.encode>;
      const inPlace = { known: now, at: 0, base: 0 };
      const anyhow = await collected(encode(index, chunk, { joins: false, inPlace }));
      const worth = await collected(
        encode(index, chunk, { joins: false, inPlace: { ...inPlace, farBytes: far } }),
      );
      expect(anyhow.length).toBeLessThan(page);
      expect(worth.length).toBeGreaterThan(page);
      expect(worth.length).toBeLessThan(2 * page);
      expect(sameBytes(await patched(feature, base, worth, chunk.length), chunk)).toBe(true);
    },
  );

  it.skipIf(feature.encode === undefined)('finds what joined the base', async () => {
    const fresh = noise(50_000, 33);
    const again = new Uint8Array(Buffer.concat([noise(77, 34), fresh.subarray(3000, 47_000), noise(99, 35)]));
    const index = await feature.index([await signedBase(feature, base, 512)]);
    const encode = feature.encode as NonNullable<typeof feature.encode>;
    await collected(encode(index, fresh, { joins: true }));
    const delta = await collected(encode(index, again, { joins: false }));
    const virtual = new Uint8Array(Buffer.concat([base, fresh]));
    expect(sameBytes(await patched(feature, virtual, delta, again.length), again)).toBe(true);
    expect(delta.length).toBeLessThan(2500);
  });

  it.skipIf(feature.encode === undefined)('makes the right length of a wrong signature', async () => {
    const before = await signedBase(feature, base, 512);
    const now = await signedBase(feature, editPages(base, 30, 99), 512);
    const { made } = await encodedChunks(feature, [before], base, target, (at) => ({
      known: now,
      at,
      base: 0,
    }));
    expect(made.length).toBe(target.length);
  });
}

/** The target in chunks of odd lengths, each encoded, patched and joined. */
async function encodedChunks(
  feature: SignatureFeature,
  bases: readonly SignedBase[],
  base: Uint8Array,
  target: Uint8Array,
  inPlace: (at: number, length: number) => InPlace | undefined,
): Promise<{ made: Uint8Array; bytes: number }> {
  const index = await feature.index(bases);
  const encode = feature.encode as NonNullable<typeof feature.encode>;
  let virtual = base;
  let bytes = 0;
  const parts: Uint8Array[] = [];
  for (let at = 0; at < target.length; at += 33_333) {
    const chunk = target.subarray(at, at + 33_333);
    const place = inPlace(at, chunk.length);
    const options = { joins: true, ...(place === undefined ? {} : { inPlace: place }) };
    const delta = await collected(encode(index, chunk, options));
    bytes += delta.length;
    parts.push(await patched(feature, virtual, delta, chunk.length));
    virtual = new Uint8Array(Buffer.concat([virtual, chunk]));
  }
  return { made: new Uint8Array(Buffer.concat(parts)), bytes };
}
