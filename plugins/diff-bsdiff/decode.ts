/** Applies a BSDIFF40 to a base of any size, in some 40 MB of memory. */

import type { RandomReader } from '@overdub/core/agent';
import { BadStream, Bzip2Reader } from './bzip2/stream-reader.ts';
import { HEAD_BYTES, invalid, parseHead, parseTriple, TRIPLE_BYTES } from './format.ts';

const PIECE_BYTES = 256 * 1024;
/** Steps that make nothing, besides one for each byte of the target: a stream of them could go on for ever. */
const IDLE_STEPS = 64;

/** Length of what the delta says it makes. */
export async function targetBytesOf(delta: RandomReader): Promise<number> {
  return parseHead(await delta.read(0, HEAD_BYTES), delta.bytes).targetBytes;
}

/** Streams the target; rejects with DELTA_INVALID on anything that bsdiff would not have written. */
export async function* decode(
  base: RandomReader,
  delta: RandomReader,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const head = parseHead(await delta.read(0, HEAD_BYTES), delta.bytes);
  const differencesAt = HEAD_BYTES + head.controlBytes;
  const extraAt = differencesAt + head.differenceBytes;
  const control = stream('control', delta, HEAD_BYTES, head.controlBytes);
  const differences = stream('difference', delta, differencesAt, head.differenceBytes);
  const extra = stream('extra', delta, extraAt, delta.bytes - extraAt);
  const triple = new Uint8Array(TRIPLE_BYTES);
  let made = 0;
  let position = 0;
  for (let steps = 0; made < head.targetBytes; steps++) {
    signal?.throwIfAborted();
    await control.fill(triple);
    const { add, insert, skip } = parseTriple(triple);
    assertStep(add, insert, { left: head.targetBytes - made, idle: steps - made });
    if (add > 0 && (position < 0 || position + add > base.bytes)) {
      throw invalid(
        `The delta takes ${add} bytes from ${position}, outside the base's ${base.bytes}: it belongs to another base.`,
      );
    }
    for (const [at, bytes] of pieces(add)) {
      signal?.throwIfAborted();
      yield await sum(base, position + at, await differences.next(bytes));
    }
    for (const [, bytes] of pieces(insert)) yield await extra.next(bytes);
    made += add + insert;
    position += add + skip;
  }
  for (const each of [control, differences, extra]) await each.end();
}

function assertStep(
  add: number,
  insert: number,
  { left, idle }: { readonly left: number; readonly idle: number },
): void {
  // CVE-2014-9862, CVE-2020-14315: negative and overflowing lengths.
  if (add < 0 || insert < 0) throw invalid('The delta has a step of negative length.');
  if (add + insert > left) throw invalid(`A step makes ${add + insert} bytes where ${left} are left.`);
  if (idle > IDLE_STEPS) throw invalid('The delta has more steps than bytes.');
}

interface NamedStream {
  fill(into: Uint8Array): Promise<void>;
  /** The next `bytes` bytes. */
  next(bytes: number): Promise<Uint8Array>;
  end(): Promise<void>;
}

/** A reader whose errors name the stream. */
function stream(name: string, delta: RandomReader, offset: number, length: number): NamedStream {
  const reader = new Bzip2Reader(delta, offset, length);
  const named = (error: unknown): never => {
    if (error instanceof BadStream) throw invalid(`The delta's ${name} stream is damaged: ${error.message}.`);
    throw error;
  };
  return {
    fill: (into) => reader.fill(into).catch(named),
    async next(bytes) {
      const piece = new Uint8Array(bytes);
      await reader.fill(piece).catch(named);
      return piece;
    },
    end: () => reader.end().catch(named),
  };
}

/** Adds the base's bytes to `differences`, in place, modulo 256. */
async function sum(base: RandomReader, position: number, differences: Uint8Array): Promise<Uint8Array> {
  const old = await base.read(position, differences.length);
  if (old.length !== differences.length) {
    throw invalid(
      `The base gave ${old.length} of ${differences.length} bytes at ${position}: it became shorter.`,
    );
  }
  for (let i = 0; i < old.length; i++) differences[i] = (differences[i] as number) + (old[i] as number);
  return differences;
}

function* pieces(bytes: number): Generator<readonly [at: number, bytes: number]> {
  for (let at = 0; at < bytes; at += PIECE_BYTES) yield [at, Math.min(PIECE_BYTES, bytes - at)];
}
