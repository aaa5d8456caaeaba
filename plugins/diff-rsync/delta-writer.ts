/** Turns copies and literals into an rdiff delta: merges neighbouring copies, cuts literals at 64 KiB. */

import type { DeltaPart } from '@overdub/core/agent';
import { DELTA_MAGIC, OP_COPY_N1_N1, OP_END, OP_LITERAL_MAX_IMMEDIATE, OP_LITERAL_N1 } from './format.ts';

/** Receives a target in order, as pieces. Literal bytes are only lent: copy what must outlive the call. */
export interface DeltaSink {
  literal(bytes: Uint8Array): void;
  copy(offset: number, length: number): void;
  /** Called once, last. */
  end(): void;
}

const LITERAL_BYTES = 64 * 1024;
/** Room for the longest command besides a literal's bytes. */
const COMMAND_BYTES = 17;

/**
 * Collects encoded pieces until {@link DeltaWriter.take}. Everything goes into one buffer: a delta has a command every
 * few bytes, and an array for each would cost more than finding it.
 */
export class DeltaWriter implements DeltaSink {
  readonly #literal = new Uint8Array(LITERAL_BYTES);
  #literalLength = 0;
  #copyOffset = 0;
  #copyLength = 0;
  #out = new Uint8Array(2 * LITERAL_BYTES);
  #length = 0;

  constructor() {
    this.#put(DELTA_MAGIC, 4);
  }

  literal(bytes: Uint8Array): void {
    this.#flushCopy();
    let from = 0;
    while (from < bytes.length) {
      const room = Math.min(LITERAL_BYTES - this.#literalLength, bytes.length - from);
      this.#literal.set(bytes.subarray(from, from + room), this.#literalLength);
      this.#literalLength += room;
      from += room;
      if (this.#literalLength === LITERAL_BYTES) this.#flushLiteral();
    }
  }

  copy(offset: number, length: number): void {
    this.#flushLiteral();
    if (this.#copyLength > 0 && this.#copyOffset + this.#copyLength === offset) {
      this.#copyLength += length;
      return;
    }
    this.#flushCopy();
    this.#copyOffset = offset;
    this.#copyLength = length;
  }

  end(): void {
    this.#flushLiteral();
    this.#flushCopy();
    this.#reserve(COMMAND_BYTES);
    this.#put(OP_END, 1);
  }

  /** Everything encoded since the last call, or undefined. */
  take(): Uint8Array | undefined {
    if (this.#length === 0) return undefined;
    const taken = this.#out.slice(0, this.#length);
    this.#length = 0;
    return taken;
  }

  #flushLiteral(): void {
    const length = this.#literalLength;
    if (length === 0) return;
    this.#reserve(COMMAND_BYTES + length);
    if (length <= OP_LITERAL_MAX_IMMEDIATE) this.#put(length, 1);
    else {
      const code = widthCode(length);
      this.#put(OP_LITERAL_N1 + code, 1);
      this.#put(length, 1 << code);
    }
    this.#out.set(this.#literal.subarray(0, length), this.#length);
    this.#length += length;
    this.#literalLength = 0;
  }

  #flushCopy(): void {
    if (this.#copyLength === 0) return;
    this.#reserve(COMMAND_BYTES);
    const offsetCode = widthCode(this.#copyOffset);
    const lengthCode = widthCode(this.#copyLength);
    this.#put(OP_COPY_N1_N1 + 4 * offsetCode + lengthCode, 1);
    this.#put(this.#copyOffset, 1 << offsetCode);
    this.#put(this.#copyLength, 1 << lengthCode);
    this.#copyLength = 0;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#out.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#out.length, this.#length + bytes));
    grown.set(this.#out.subarray(0, this.#length));
    this.#out = grown;
  }

  /** A number of so many bytes, the highest first. */
  #put(value: number, width: number): void {
    let left = value;
    for (let at = this.#length + width - 1; at >= this.#length; at--) {
      this.#out[at] = left % 256;
      left = Math.floor(left / 256);
    }
    this.#length += width;
  }
}

/** A whole delta of these parts. */
export function deltaOf(parts: readonly DeltaPart[]): Uint8Array {
  const writer = new DeltaWriter();
  for (const part of parts) {
    if (part.kind === 'literal') writer.literal(part.bytes);
    else writer.copy(part.offset, part.length);
  }
  writer.end();
  return writer.take() as Uint8Array;
}

/** log2 of the width in bytes (1, 2, 4, 8) that holds `value`. */
function widthCode(value: number): number {
  if (value <= 0xff) return 0;
  if (value <= 0xffff) return 1;
  return value <= 0xffffffff ? 2 : 3;
}
