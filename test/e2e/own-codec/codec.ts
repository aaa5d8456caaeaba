/** `test-blocks`: a codec that no part of Overdub knows. Its deltas say on which host they were made. */

import { hostname } from 'node:os';
import {
  type DecodeOptions,
  type DeltaCodec,
  OverdubError,
  type RandomReader,
  type SignatureFeature,
} from '@overdub/core/agent';
import { BlockIndex, sign } from './blocks.ts';
import { DeltaReader, encodeDelta, type Instruction } from './format.ts';

const MAX_BYTES = 8 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
const FORMAT_VERSION = 1;

/** A delta made from a signature, as seen where it was applied. */
export interface AppliedDelta {
  /** Host name of the machine that made it. */
  readonly madeOn: string;
  readonly targetBytes: number;
  readonly deltaBytes: number;
}

/** `onApplied` hears of each delta that was applied to its end by the signature feature. */
export function testBlocksCodec(onApplied?: (delta: AppliedDelta) => Promise<void>): DeltaCodec {
  const signatures: SignatureFeature = {
    sign,
    index: async (bases) => {
      const index = new BlockIndex();
      for (const base of bases) index.append(base);
      return index;
    },
    delta: (index, target, signal) => {
      if (!(index instanceof BlockIndex)) throw new Error('this index was made by another codec');
      return encodeDelta(hostname(), index.instructions(target, signal));
    },
    patch: (base, delta, options) => applyDelta(base, delta, options, onApplied),
  };
  return {
    name: 'test-blocks',
    formatVersion: FORMAT_VERSION,
    limits: { maxBaseBytes: MAX_BYTES, maxTargetBytes: MAX_BYTES },
    signatures,
    async encode(base, target, { signal } = {}) {
      signal?.throwIfAborted();
      if (base.length > MAX_BYTES || target.length > MAX_BYTES) throw tooLarge();
      const signature = await collected(sign(once(base), { sourceBytes: base.length }));
      const index = new BlockIndex();
      index.append({ signature, baseBytes: base.length });
      return collected(encodeDelta(hostname(), index.instructions(once(target), signal)));
    },
    async decode(base, delta, options) {
      if (options.targetBytes > MAX_BYTES) throw tooLarge();
      const read = async (offset: number, length: number) => base.subarray(offset, offset + length);
      return collected(applyDelta({ bytes: base.length, read }, once(delta), options));
    },
  };
}

async function* applyDelta(
  base: RandomReader,
  delta: AsyncIterable<Uint8Array>,
  { targetBytes, formatVersion, signal }: DecodeOptions,
  onApplied?: (delta: AppliedDelta) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  if ((formatVersion ?? FORMAT_VERSION) !== FORMAT_VERSION)
    throw new Error(`test-blocks knows no format version ${formatVersion}`);
  const reader = new DeltaReader(delta);
  const madeOn = await reader.head();
  let made = 0;
  for (;;) {
    signal?.throwIfAborted();
    const next = await reader.instruction(targetBytes - made);
    if (next === undefined) break;
    for await (const bytes of bytesOf(next, base)) {
      made += bytes.length;
      yield bytes;
    }
  }
  if (made !== targetBytes) throw new Error(`the delta makes ${made} bytes instead of ${targetBytes}`);
  await onApplied?.({ madeOn, targetBytes, deltaBytes: reader.bytes });
}

async function* bytesOf(instruction: Instruction, base: RandomReader): AsyncGenerator<Uint8Array> {
  if (instruction.kind === 'literal') {
    yield instruction.bytes;
    return;
  }
  const end = instruction.from + instruction.length;
  if (end > base.bytes) throw new Error('a copy reaches beyond the base');
  for (let at = instruction.from; at < end; at += READ_BYTES) {
    const length = Math.min(READ_BYTES, end - at);
    const bytes = await base.read(at, length);
    if (bytes.length !== length) throw new Error('the base is shorter than it was');
    yield bytes;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function collected(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}

function tooLarge(): OverdubError {
  return new OverdubError('DELTA_TOO_LARGE', 'test-blocks takes at most 8 MiB.', 'Use another codec.');
}
