/** Which codec suits two files: tried on samples of them, as files, since that is what will be made. */

import { type FileHandle, mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileCodec } from './codecs.ts';

const MiB = 1024 * 1024;
/** Files up to this size are tried whole. */
const WHOLE_BYTES = 4 * MiB;
/** Of larger ones: windows of the target, each against the same place of the base and as much on both sides. */
const WINDOWS = 8;
const WINDOW_BYTES = MiB;
/** Once this much time is gone, the samples tried so far decide. */
const BUDGET_MS = 8000;
/** A faster codec is taken if its deltas are no larger than this share, and some bytes of framing. */
const TOLERANCE = 1.03;
const FRAMING_BYTES = 64;
/** Above this share of the target nothing was found at the same place: it may lie anywhere. */
const LOST = 0.5;

export interface Trial {
  readonly codec: string;
  readonly bytes: number;
  readonly seconds: number;
}

export interface Choice {
  readonly codec: FileCodec;
  /** Why; the trials' sizes included. */
  readonly reason: string;
  readonly trials: readonly Trial[];
}

/** Codecs that refuse files of these lengths are left out. Throws their refusal when none is left. */
export async function chooseCodec(
  codecs: readonly FileCodec[],
  basePath: string,
  targetPath: string,
  signal: AbortSignal,
): Promise<Choice> {
  await using base = await open(basePath, 'r');
  await using target = await open(targetPath, 'r');
  const sizes = { base: (await base.stat()).size, target: (await target.stat()).size };
  const fitting = codecsThatFit(codecs, sizes.base, sizes.target);
  const whole = sizes.base <= WHOLE_BYTES && sizes.target <= WHOLE_BYTES;
  const spent = new Map(fitting.map((codec) => [codec, { bytes: 0, ms: 0 }]));
  const began = performance.now();
  let sampled = 0;
  let windows = 0;
  for (const at of whole ? [0] : places(sizes.target)) {
    if (windows > 0 && performance.now() - began > BUDGET_MS) break;
    signal.throwIfAborted();
    const to = await read(target, at, whole ? sizes.target : WINDOW_BYTES);
    const from = await (whole
      ? read(base, 0, sizes.base)
      : read(base, Math.max(0, at - WINDOW_BYTES), 3 * WINDOW_BYTES));
    for (const [codec, sum] of spent) {
      const start = performance.now();
      sum.bytes += await deltaBytes(codec, from, to, signal);
      sum.ms += performance.now() - start;
    }
    sampled += to.length;
    windows++;
  }
  const trials = [...spent].map(([codec, { bytes, ms }]) => ({ codec, bytes, ms }));
  const chosen = best(trials, whole ? Number.POSITIVE_INFINITY : sampled * LOST);
  const list = trials.map(({ codec, bytes }) => `${codec.name} ${bytes}`).join(', ');
  const where = whole ? 'the whole files' : `${windows} samples of ${sampled} bytes`;
  return {
    codec: chosen,
    reason: `tried on ${where}, delta bytes: ${list}; of those as small as the smallest, the fastest`,
    trials: trials.map(({ codec, bytes, ms }) => ({ codec: codec.name, bytes, seconds: ms / 1000 })),
  };
}

interface Sum {
  readonly codec: FileCodec;
  readonly bytes: number;
  readonly ms: number;
}

/** The smallest, or a faster one that is as good as that; where nothing was found, one that looks everywhere. */
function best(trials: readonly Sum[], lostAbove: number): FileCodec {
  const smallest = Math.min(...trials.map(({ bytes }) => bytes));
  const everywhere = trials.filter(({ codec }) => codec.files.seesWholeBase);
  const candidates = smallest > lostAbove && everywhere.length > 0 ? everywhere : trials;
  const least = Math.min(...candidates.map(({ bytes }) => bytes));
  const good = candidates.filter(({ bytes }) => bytes <= least * TOLERANCE + FRAMING_BYTES);
  return good.reduce((a, b) => (b.ms < a.ms ? b : a)).codec;
}

function codecsThatFit(
  codecs: readonly FileCodec[],
  baseBytes: number,
  targetBytes: number,
): readonly FileCodec[] {
  let refusal: unknown = new Error('no codec that takes whole files is loaded');
  const fitting = codecs.filter(({ files }) => {
    try {
      files.assertFits?.(baseBytes, targetBytes);
      return true;
    } catch (error) {
      refusal = error;
      return false;
    }
  });
  if (fitting.length === 0) throw refusal;
  return fitting;
}

/** Evenly from the start to the end. */
function places(bytes: number): readonly number[] {
  const last = Math.max(0, bytes - WINDOW_BYTES);
  return [...new Set(Array.from({ length: WINDOWS }, (_, i) => Math.floor((last * i) / (WINDOWS - 1))))];
}

async function read(file: FileHandle, at: number, bytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes);
  let filled = 0;
  while (filled < bytes) {
    const { bytesRead } = await file.read(buffer, filled, bytes - filled, at + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** Length of the codec's delta of two files of these contents. */
async function deltaBytes(
  { files }: FileCodec,
  base: Uint8Array,
  target: Uint8Array,
  signal: AbortSignal,
): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'overdub-sample-'));
  const at = (name: string): string => join(folder, name);
  try {
    await writeFile(at('base'), base);
    await writeFile(at('target'), target);
    await files.delta(at('base'), at('target'), at('delta'), { signal });
    return (await stat(at('delta'))).size;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
