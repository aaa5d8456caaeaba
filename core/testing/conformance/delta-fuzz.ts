/**
 * Fuzzing of a {@link DeltaCodec}: contents that are related at random, and real deltas that were damaged with intent.
 * Two seconds a codec; `OVERDUB_FUZZ_SECONDS=600` runs longer, from another seed each time. A failure prints the seed
 * and the smallest case; `OVERDUB_FUZZ_SEED` runs it again.
 */

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeltaCodec, FileFeature, RandomReader, SignatureFeature } from '../../contracts/delta-codec.ts';
import { collectBytes } from '../collect.ts';
import { type Pair, pairs, spoiled, spoilings } from './delta-fuzz-cases.ts';

const DEFAULT_SECONDS = 2;
const SECONDS = Number(process.env.OVERDUB_FUZZ_SECONDS ?? DEFAULT_SECONDS);
const SEED = Number(
  process.env.OVERDUB_FUZZ_SEED ?? (SECONDS === DEFAULT_SECONDS ? 1 : Date.now() % 2 ** 30),
);
const ROUND_RUNS = 50;
/** Nothing of these sizes takes so long; it hangs. */
const HANG_MS = 20_000;
/** Inputs here have some kilobytes: whoever takes this much believed a length that it read. */
const MEMORY_BYTES = 1024 * 1024 * 1024;

export function deltaFuzzConformance(codec: DeltaCodec): void {
  describe('fuzzed', () => {
    const { signatures, files } = codec;
    const shares = 2 + (signatures === undefined ? 0 : 1) + (files === undefined ? 0 : 1);
    const check = (title: string, property: fc.IAsyncProperty<unknown>): void => {
      it(title, { timeout: SECONDS * 1000 + 120_000 }, async () => {
        const before = process.memoryUsage().rss;
        const end = performance.now() + (SECONDS * 1000) / shares;
        // In rounds: a case that never ends must not be interrupted and forgotten, but run into the test's timeout.
        for (let seed = SEED; performance.now() < end; seed++) {
          await fc.assert(property as fc.IAsyncPropertyWithHooks<unknown>, { numRuns: ROUND_RUNS, seed });
        }
        expect(process.memoryUsage().rss - before).toBeLessThan(MEMORY_BYTES);
      });
    };
    check('makes any target from any base', roundTrip(codec));
    check('takes spoiled deltas for nothing, or for what is right', spoiledDelta(codec));
    if (files !== undefined) check('takes spoiled files no better', spoiledFile(files));
    if (signatures !== undefined) check('survives spoiled signatures', spoiledSignature(signatures));
  });
}

function roundTrip(codec: DeltaCodec): fc.IAsyncProperty<unknown> {
  const effort = fc.constantFrom<'fast' | 'small'>('fast', 'small');
  return fc.asyncProperty(pairs, effort, async ({ base, target }, chosen) => {
    const delta = await inTime(codec.encode(base, target, { effort: chosen }));
    const made = await inTime(codec.decode(base, delta, { targetBytes: target.length }));
    expect(Buffer.compare(made, target)).toBe(0);
  });
}

function spoiledDelta(codec: DeltaCodec): fc.IAsyncProperty<unknown> {
  return fc.asyncProperty(pairs, pairs, spoilings, async ({ base, target }, other, how) => {
    const delta = await codec.encode(base, target);
    const bytes = spoiled(delta, await codec.encode(other.base, other.target), how);
    const decoding = codec.decode(base, bytes, { targetBytes: target.length });
    const made = await inTime(decoding.catch(() => undefined));
    if (made === undefined) return;
    expect(made.length).toBe(target.length);
    if (codec.files?.format.checksummed === true) expect(Buffer.compare(made, target)).toBe(0);
  });
}

function spoiledFile(files: FileFeature): fc.IAsyncProperty<unknown> {
  return fc.asyncProperty(pairs, spoilings, async ({ base, target }, how) => {
    const folder = await mkdtemp(join(tmpdir(), 'overdub-fuzz-'));
    const at = (name: string): string => join(folder, name);
    try {
      await writeFile(at('base'), base);
      await writeFile(at('target'), target);
      await inTime(files.delta(at('base'), at('target'), at('delta')));
      const delta = await readFile(at('delta'));
      await writeFile(at('delta'), spoiled(delta, delta, how));
      const patched = await inTime(
        files.patch(at('base'), at('delta'), at('made')).then(() => true, refused),
      );
      const left = patched ? ['base', 'delta', 'made', 'target'] : ['base', 'delta', 'target'];
      expect((await readdir(folder)).sort()).toEqual(left);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

function spoiledSignature(feature: SignatureFeature): fc.IAsyncProperty<unknown> {
  return fc.asyncProperty(pairs, spoilings, async ({ base, target }, how) => {
    const sourceBytes = base.length;
    const signature = await collectBytes(feature.sign(once(base), { sourceBytes, blockBytes: 64 }));
    const delta = await inTime(
      deltaOf(feature, spoiled(signature, signature, how), { base, target }).catch(() => undefined),
    );
    if (delta === undefined) return;
    const reader: RandomReader = {
      bytes: base.length,
      read: async (offset, length) => base.subarray(offset, offset + length),
    };
    const options = { targetBytes: target.length };
    const made = await inTime(
      collectBytes(feature.patch(reader, once(delta), options)).catch(() => undefined),
    );
    if (made !== undefined) expect(made.length).toBe(target.length);
  });
}

async function deltaOf(
  feature: SignatureFeature,
  signature: Uint8Array,
  { base, target }: Pair,
): Promise<Uint8Array> {
  const index = await feature.index([{ signature, baseBytes: base.length }]);
  return collectBytes(feature.delta(index, once(target)));
}

/** What a user meets has a code and says what is wrong. */
function refused(error: unknown): false {
  expect(error).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/) });
  return false;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

/** For work that runs in this thread, too: it is late when it ends. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work;
  expect(performance.now() - began).toBeLessThan(HANG_MS);
  return result;
}
