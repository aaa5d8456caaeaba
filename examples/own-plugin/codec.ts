/**
 * A binary-diff codec in one file: finds 32-byte blocks of the base anywhere in the target (a rolling hash), writes
 * copies and literals. Not the field's best, but a whole one: it passes the conformance suite.
 *
 * Format 1: `CPY1`, SHA-256 of the target, then instructions. An instruction is a varint `length * 2 + copy`, then
 * for a copy the varint offset in the base, for a literal its bytes.
 */

import { createHash } from 'node:crypto';
import { type DecodeOptions, type DeltaCodec, OverdubError } from '@overdub/core/agent';
import { type Match, matches } from './matches.ts';

const MAGIC = Buffer.from('CPY1');
const DIGEST_BYTES = 32;
const LIMITS = { maxBaseBytes: 16 << 20, maxTargetBytes: 8 << 20 };

export const copyCodec: DeltaCodec = {
  name: 'copy',
  formatVersion: 1,
  limits: LIMITS,
  async encode(base, target, { signal } = {}) {
    signal?.throwIfAborted();
    if (base.length > LIMITS.maxBaseBytes || target.length > LIMITS.maxTargetBytes) throw tooLarge();
    const parts: Uint8Array[] = [MAGIC, digestOf(target)];
    let done = 0;
    for (const match of matches(base, target)) {
      parts.push(...literal(target.subarray(done, match.at)), ...copy(match));
      done = match.at + match.length;
    }
    parts.push(...literal(target.subarray(done)));
    return new Uint8Array(Buffer.concat(parts));
  },
  async decode(base, delta, options) {
    options.signal?.throwIfAborted();
    if ((options.formatVersion ?? 1) !== 1) throw new Error('this format version was never written');
    return apply(base, Buffer.from(delta.buffer, delta.byteOffset, delta.byteLength), options);
  },
};

function apply(base: Uint8Array, delta: Buffer, { targetBytes }: DecodeOptions): Uint8Array {
  const head = MAGIC.length + DIGEST_BYTES;
  if (delta.length < head || !delta.subarray(0, MAGIC.length).equals(MAGIC)) throw new Error('no copy delta');
  if (targetBytes > LIMITS.maxTargetBytes) throw tooLarge();
  const target = new Uint8Array(targetBytes);
  let made = 0;
  for (let at = head; at < delta.length; ) {
    const [instruction, afterLength] = readVarint(delta, at);
    const length = Math.floor(instruction / 2);
    const isCopy = instruction % 2 === 1;
    const [from, next] = isCopy ? readVarint(delta, afterLength) : [afterLength, afterLength + length];
    const source = isCopy ? base : delta;
    if (length === 0 || made + length > targetBytes || from + length > source.length) {
      throw new Error('an instruction reaches beyond its bytes');
    }
    target.set(source.subarray(from, from + length), made);
    made += length;
    at = next;
  }
  const digest = delta.subarray(MAGIC.length, head);
  if (made !== targetBytes || !digest.equals(digestOf(target))) throw new Error('another target came out');
  return target;
}

function copy({ from, length }: Match): readonly Uint8Array[] {
  return [varint(length * 2 + 1), varint(from)];
}

function literal(bytes: Uint8Array): readonly Uint8Array[] {
  return bytes.length === 0 ? [] : [varint(bytes.length * 2), bytes];
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Uint8Array.from([...bytes, rest]);
}

function readVarint(bytes: Uint8Array, start: number): readonly [value: number, next: number] {
  let value = 0;
  for (let index = 0; index < 5; index++) {
    const byte = bytes[start + index];
    if (byte === undefined) break;
    value += (byte & 127) * 128 ** index;
    if (byte < 128) return [value, start + index + 1];
  }
  throw new Error('a number is cut or too long');
}

function digestOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function tooLarge(): OverdubError {
  return new OverdubError(
    'DELTA_TOO_LARGE',
    'copy takes bases of 16 MiB and targets of 8 MiB.',
    'Use another codec.',
  );
}
