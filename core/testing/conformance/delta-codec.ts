/** What every {@link DeltaCodec} must do. A plugin's test calls {@link deltaCodecConformance} and is done. */

import { describe, expect, it } from 'vitest';
import type { DeltaCodec } from '../../contracts/delta-codec.ts';
import { deltaFilesConformance } from './delta-files.ts';
import { deltaFuzzConformance } from './delta-fuzz.ts';
import { createRandom, damaged, databasePages, deltaSamples, editPages, noise } from './delta-samples.ts';
import { deltaSignaturesConformance } from './delta-signatures.ts';

const MUTATIONS = 400;

/** Runs the suite, the declared features' cases included. `name` titles it. */
export function deltaCodecConformance(name: string, codec: DeltaCodec): void {
  describe(`${name} as a delta codec`, () => {
    roundTrips(codec);
    purity(codec);
    refusals(codec);
    hostileDeltas(codec);
    deltaFuzzConformance(codec);
    const { signatures, files } = codec;
    if (signatures !== undefined) deltaSignaturesConformance(signatures);
    if (files !== undefined) deltaFilesConformance(files);
  });
}

function roundTrips(codec: DeltaCodec): void {
  const largest = Math.min(codec.limits.maxBaseBytes, codec.limits.maxTargetBytes);
  describe.each(['fast', 'small'] as const)('%s', (effort) => {
    it.each(deltaSamples(largest))('$title', async ({ base, target, atMost }) => {
      const delta = await codec.encode(base, target, { effort });
      const made = await codec.decode(base, delta, {
        targetBytes: target.length,
        formatVersion: codec.formatVersion,
      });
      expect(sameBytes(made, target)).toBe(true);
      expect(delta.length).toBeLessThanOrEqual(atMost ?? target.length + 4096);
    });
  });
}

function purity(codec: DeltaCodec): void {
  const base = databasePages(64 * 1024, 31);
  const target = editPages(base, 30, 1);

  it('gives the same delta for the same bytes, also when calls overlap', async () => {
    const other = noise(30_000, 4);
    const [first, , second] = await Promise.all([
      codec.encode(base, target),
      codec.encode(other, base),
      codec.encode(base, target),
    ]);
    const third = await codec.encode(base.slice(), target.slice());
    expect(sameBytes(first, second)).toBe(true);
    expect(sameBytes(first, third)).toBe(true);
  });

  it('reads views into larger buffers and leaves its inputs alone', async () => {
    const frame = new Uint8Array(base.length + 20);
    frame.set(base, 13);
    const view = frame.subarray(13, 13 + base.length);
    const delta = await codec.encode(view, target);
    const kept = delta.slice();
    const made = await codec.decode(view, delta, { targetBytes: target.length });
    made.fill(0);
    expect(sameBytes(view, base)).toBe(true);
    expect(sameBytes(delta, kept)).toBe(true);
    expect(sameBytes(await codec.decode(base, delta, { targetBytes: target.length }), target)).toBe(true);
  });

  it('names itself and its limits', () => {
    expect(codec.name).toMatch(/^[a-z0-9-]+$/);
    expect(Number.isInteger(codec.formatVersion)).toBe(true);
    expect(codec.limits.maxBaseBytes).toBeGreaterThanOrEqual(1024 * 1024);
    expect(codec.limits.maxTargetBytes).toBeGreaterThanOrEqual(1024 * 1024);
  });
}

function refusals(codec: DeltaCodec): void {
  const base = databasePages(64 * 1024, 37);
  const target = editPages(base, 30, 2);
  const targetBytes = target.length;

  it('refuses inputs beyond its limits', async () => {
    const tooLargeBase = new Uint8Array(codec.limits.maxBaseBytes + 1);
    const tooLargeTarget = new Uint8Array(codec.limits.maxTargetBytes + 1);
    await expect(codec.encode(tooLargeBase, target)).rejects.toMatchObject({ code: 'DELTA_TOO_LARGE' });
    await expect(codec.encode(base, tooLargeTarget)).rejects.toMatchObject({ code: 'DELTA_TOO_LARGE' });
  });

  it.each([0, 1, targetBytes - 1, targetBytes + 1, 2 * targetBytes])(
    'refuses a target length of %d instead of the true one',
    async (wrong) => {
      const delta = await codec.encode(base, target);
      await expect(codec.decode(base, delta, { targetBytes: wrong })).rejects.toThrow();
    },
  );

  it('never gives the right length of wrong bytes as the right bytes for a wrong base', async () => {
    const delta = await codec.encode(base, target);
    for (const wrong of [noise(base.length, 5), base.subarray(1), new Uint8Array(0)]) {
      const made = await codec.decode(wrong, delta, { targetBytes }).catch(() => undefined);
      if (made !== undefined) expect(made.length).toBe(targetBytes);
      if (made !== undefined) expect(sameBytes(made, target)).toBe(false);
    }
  });

  it('refuses a format version it never wrote', async () => {
    const delta = await codec.encode(base, target);
    const options = { targetBytes, formatVersion: codec.formatVersion + 1 };
    await expect(codec.decode(base, delta, options)).rejects.toThrow(/version/);
  });

  it('stops on an aborted signal', async () => {
    const delta = await codec.encode(base, target);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(codec.encode(base, target, { signal })).rejects.toThrow('enough');
    await expect(codec.decode(base, delta, { targetBytes, signal })).rejects.toThrow('enough');
  });
}

function hostileDeltas(codec: DeltaCodec): void {
  const base = databasePages(64 * 1024, 41);
  const target = editPages(base, 30, 3);
  const targetBytes = target.length;

  it('refuses a delta cut anywhere', async () => {
    const delta = await codec.encode(base, target);
    for (const length of cuts(delta.length)) {
      const cut = codec.decode(base, delta.subarray(0, length), { targetBytes });
      await expect(cut, `cut to ${length} of ${delta.length}`).rejects.toThrow();
    }
  });

  it('refuses bytes after the delta', async () => {
    const delta = await codec.encode(base, target);
    for (const tail of [Uint8Array.of(0), noise(40, 1), delta]) {
      const longer = new Uint8Array(Buffer.concat([delta, tail]));
      await expect(codec.decode(base, longer, { targetBytes })).rejects.toThrow();
    }
  });

  it('refuses what is no delta', async () => {
    for (const bytes of [new Uint8Array(0), new Uint8Array(64), noise(5000, 2), base]) {
      await expect(codec.decode(base, bytes, { targetBytes })).rejects.toThrow();
    }
  });

  it(`survives ${MUTATIONS} damaged deltas: an error or the right length, never more`, async () => {
    const random = createRandom(97);
    const deltas = [await codec.encode(base, target), await codec.encode(noise(3000, 6), noise(3000, 8))];
    for (let i = 0; i < MUTATIONS; i++) {
      let bytes = damaged(deltas[i % 2] as Uint8Array, random);
      if (random() % 3 === 0) bytes = damaged(bytes, random);
      const bound = i % 2 === 0 ? targetBytes : 3000;
      const made = await codec.decode(base, bytes, { targetBytes: bound }).catch(() => undefined);
      if (made !== undefined) expect(made.length).toBe(bound);
    }
    const after = await codec.decode(base, deltas[0] as Uint8Array, { targetBytes });
    expect(sameBytes(after, target)).toBe(true);
  });
}

/** Lengths to cut at: all of the head and the tail, and some between. */
function cuts(length: number): number[] {
  const all = Array.from({ length }, (_, i) => i);
  const step = Math.max(1, Math.floor(length / 64));
  return all.filter((at) => at < 64 || at >= length - 64 || at % step === 0);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
