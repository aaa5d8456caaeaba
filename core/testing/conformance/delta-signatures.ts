/** The cases of a codec's {@link SignatureFeature}. */

import { describe, expect, it } from 'vitest';
import type { DeltaPart, RandomReader, SignatureFeature } from '../../contracts/delta-codec.ts';
import { createRandom, damaged, databasePages, deltaSamples, editPages, noise } from './delta-samples.ts';
import { wholeTargets } from './delta-whole-targets.ts';
import { collected, deltaOf, patched, pieces, sameBytes, signedBase } from './signature-streams.ts';

const PIECES = [1, 7, 513, 4096, 65_537];

export function deltaSignaturesConformance(feature: SignatureFeature): void {
  describe('signatures', () => {
    roundTrips(feature);
    severalBases(feature);
    wholeTargets(feature);
    if (feature.parts !== undefined) separateParts(feature, feature.parts);
    refusals(feature);
  });
}

function roundTrips(feature: SignatureFeature): void {
  it.each(deltaSamples(1024 * 1024))('$title', async ({ base, target }) => {
    const signed = await signedBase(feature, base, 512);
    const delta = await deltaOf(feature, [signed], target);
    expect(sameBytes(await patched(feature, base, delta, target.length), target)).toBe(true);
  });

  it('does not depend on how its streams are cut', async () => {
    const base = databasePages(40_000, 3);
    const target = editPages(base, 30, 9);
    const wanted = await signedBase(feature, base, 512);
    const delta = await deltaOf(feature, [wanted], target);
    for (const piece of PIECES) {
      const signed = await signedBase(feature, base, 512, piece);
      expect(sameBytes(signed.signature, wanted.signature)).toBe(true);
      expect(sameBytes(await deltaOf(feature, [signed], target, piece), delta)).toBe(true);
      expect(sameBytes(await patched(feature, base, delta, target.length, piece), target)).toBe(true);
    }
  });

  it('sends little more than the blocks that changed', async () => {
    const base = databasePages(1024 * 1024, 5);
    const target = editPages(base, 30, 6);
    const changedPages = 20;
    const delta = await deltaOf(feature, [await signedBase(feature, base, 512)], target);
    expect(delta.length).toBeLessThan(changedPages * 2 * (512 + 32));
  });

  it('chooses a block length by itself', async () => {
    const base = databasePages(256 * 1024, 8);
    const target = editPages(base, 30, 2);
    const delta = await deltaOf(feature, [await signedBase(feature, base, 0)], target);
    expect(sameBytes(await patched(feature, base, delta, target.length), target)).toBe(true);
    expect(delta.length).toBeLessThan(target.length / 4);
  });
}

function severalBases(feature: SignatureFeature): void {
  const first = databasePages(100_001, 21);
  const second = noise(33_333, 22);
  const third = databasePages(50_000, 23);
  const target = new Uint8Array(
    Buffer.concat([third.subarray(1000), second, first.subarray(0, 60_000), noise(100, 1), second]),
  );
  const virtual = new Uint8Array(Buffer.concat([first, second, third]));

  it.each([
    [512, 512, 512],
    [512, 1024, 2048],
    [2048, 512, 1024],
  ])('finds content of any base: blocks of %d, %d, %d', async (...blocks) => {
    const bases = await Promise.all(
      [first, second, third].map((base, i) => signedBase(feature, base, blocks[i] as number)),
    );
    const delta = await deltaOf(feature, bases, target);
    expect(sameBytes(await patched(feature, virtual, delta, target.length), target)).toBe(true);
    expect(delta.length).toBeLessThan(20_000);
  });

  it('gives the same delta when bases are appended one by one', async () => {
    const bases = await Promise.all([first, second, third].map((base) => signedBase(feature, base, 512)));
    const index = await feature.index([]);
    for (const base of bases) index.append(base);
    const appended = await collected(feature.delta(index, pieces(target, 4096)));
    expect(sameBytes(appended, await deltaOf(feature, bases, target))).toBe(true);
  });

  it('counts its memory: no more than 40 bytes a block', async () => {
    const index = await feature.index([await signedBase(feature, databasePages(2 * 1024 * 1024, 2), 512)]);
    expect(index.bytes).toBeGreaterThan(4096 * 12);
    expect(index.bytes).toBeLessThan(4096 * 40);
  });

  it('makes a whole target when there is no base', async () => {
    const delta = await deltaOf(feature, [], target);
    expect(sameBytes(await patched(feature, new Uint8Array(0), delta, target.length), target)).toBe(true);
  });

  it('copes with a base of one byte repeated', async () => {
    const zeros = new Uint8Array(1024 * 1024);
    const longer = new Uint8Array(1024 * 1024 + 4321);
    const delta = await deltaOf(feature, [await signedBase(feature, zeros, 512)], longer);
    expect(sameBytes(await patched(feature, zeros, delta, longer.length), longer)).toBe(true);
    expect(delta.length).toBeLessThan(20_000);
  });
}

/** A delta says the same in parts as patched, and is refused alike. */
function separateParts(feature: SignatureFeature, partsOf: NonNullable<SignatureFeature['parts']>): void {
  it.each(deltaSamples(256 * 1024))('in parts: $title', async ({ base, target }) => {
    const delta = await deltaOf(feature, [await signedBase(feature, base, 512)], target);
    const options = { targetBytes: target.length, baseBytes: base.length };
    expect(sameBytes(joined(partsOf(delta, options), base), target)).toBe(true);
  });

  const base = databasePages(60_000, 61);
  const target = editPages(base, 30, 62);
  const options = { targetBytes: target.length, baseBytes: base.length };

  const { compose } = feature;
  it.skipIf(compose === undefined)(
    'makes of parts a delta that says the same, patched and in parts',
    async () => {
      if (compose === undefined) return;
      const long = databasePages(200_000, 64);
      const places: readonly DeltaPart[] = [
        { kind: 'literal', bytes: long },
        { kind: 'copy', offset: 59_000, length: 1000 },
        { kind: 'copy', offset: 0, length: 1 },
        { kind: 'literal', bytes: long.subarray(0, 1) },
        { kind: 'literal', bytes: long.subarray(1, 70) },
      ];
      const told = partsOf(await deltaOf(feature, [await signedBase(feature, base, 512)], target), options);
      for (const parts of [places, told]) {
        const wanted = joined(parts, base);
        const delta = compose(parts);
        const bounds = { targetBytes: wanted.length, baseBytes: base.length };
        expect(sameBytes(joined(partsOf(delta, bounds), base), wanted)).toBe(true);
        expect(sameBytes(await patched(feature, base, delta, wanted.length), wanted)).toBe(true);
      }
    },
  );

  it('refuses in parts what it refuses to patch: cut, longer, damaged, of another length or base', async () => {
    const delta = await deltaOf(feature, [await signedBase(feature, base, 512)], target);
    const parts = (bytes: Uint8Array, more: Partial<typeof options> = {}) =>
      partsOf(bytes, { ...options, ...more });
    for (let length = 0; length < delta.length; length += Math.ceil(delta.length / 50))
      expect(() => parts(delta.subarray(0, length)), `cut to ${length}`).toThrow();
    expect(() => parts(new Uint8Array(Buffer.concat([delta, delta])))).toThrow();
    for (const targetBytes of [target.length - 1, target.length + 1])
      expect(() => parts(delta, { targetBytes })).toThrow();
    expect(() => parts(delta, { baseBytes: 1000 })).toThrow();
    const random = createRandom(63);
    for (let i = 0; i < 300; i++) {
      const bytes = damaged(delta, random);
      const made = await patched(feature, base, bytes, target.length).catch(() => undefined);
      if (made === undefined) expect(() => parts(bytes)).toThrow();
      else expect(sameBytes(joined(parts(bytes), base), made)).toBe(true);
    }
  });
}

function joined(parts: readonly DeltaPart[], base: Uint8Array): Uint8Array {
  return new Uint8Array(
    Buffer.concat(
      parts.map((part) =>
        part.kind === 'literal' ? part.bytes : base.subarray(part.offset, part.offset + part.length),
      ),
    ),
  );
}

function refusals(feature: SignatureFeature): void {
  const base = databasePages(60_000, 51);
  const target = editPages(base, 30, 52);

  it('refuses a source of another length than was said', async () => {
    for (const sourceBytes of [base.length - 1, base.length + 1]) {
      const signing = collected(feature.sign(pieces(base, 4096), { sourceBytes, blockBytes: 512 }));
      await expect(signing).rejects.toThrow();
    }
  });

  it('refuses a signature that is cut, longer, or of another base length', async () => {
    const { signature } = await signedBase(feature, base, 512);
    const wrong = [
      { signature: signature.subarray(0, 5), baseBytes: base.length },
      { signature: signature.subarray(0, signature.length - 1), baseBytes: base.length },
      { signature: new Uint8Array(Buffer.concat([signature, signature])), baseBytes: base.length },
      { signature, baseBytes: base.length + 4096 },
      { signature: noise(signature.length, 3), baseBytes: base.length },
    ];
    for (const signed of wrong) await expect(feature.index([signed])).rejects.toThrow();
  });

  it('refuses a cut or damaged delta, or gives the right length', async () => {
    const delta = await deltaOf(feature, [await signedBase(feature, base, 512)], target);
    for (let length = 0; length < delta.length; length += Math.ceil(delta.length / 50)) {
      const cut = patched(feature, base, delta.subarray(0, length), target.length);
      await expect(cut, `cut to ${length}`).rejects.toThrow();
    }
    const random = createRandom(77);
    for (let i = 0; i < 300; i++) {
      const made = await patched(feature, base, damaged(delta, random), target.length).catch(() => undefined);
      if (made !== undefined) expect(made.length).toBe(target.length);
    }
  });

  it('refuses a base that turns out shorter, and another target length', async () => {
    const delta = await deltaOf(feature, [await signedBase(feature, base, 512)], target);
    const shrunk: RandomReader = {
      bytes: base.length,
      read: async (offset, length) => base.subarray(0, 30_000).slice(offset, offset + length),
    };
    const options = { targetBytes: target.length };
    await expect(collected(feature.patch(shrunk, pieces(delta, 999), options))).rejects.toThrow();
    for (const wrong of [target.length - 1, target.length + 1]) {
      await expect(patched(feature, base, delta, wrong)).rejects.toThrow();
    }
  });

  it('stops in mid-stream on an aborted signal', async () => {
    const index = await feature.index([await signedBase(feature, base, 512)]);
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let i = 0; ; i++) {
        if (i === 20) controller.abort(new Error('enough'));
        yield noise(5000, i + 1);
      }
    }
    await expect(collected(feature.delta(index, endless(), controller.signal))).rejects.toThrow('enough');
    const options = { sourceBytes: 1e9, blockBytes: 512, signal: controller.signal };
    await expect(collected(feature.sign(endless(), options))).rejects.toThrow('enough');
  });
}
