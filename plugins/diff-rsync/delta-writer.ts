/** Turns copies and literals into an rdiff delta: merges neighbouring copies, cuts literals at 64 KiB. */

import { DELTA_MAGIC, OP_COPY_N1_N1, OP_END, OP_LITERAL_MAX_IMMEDIATE, OP_LITERAL_N1 } from './format.ts';

/** Receives a target in order, as pieces. Literal bytes are only lent: copy what must outlive the call. */
export interface DeltaSink {
  literal(bytes: Uint8Array): void;
  copy(offset: number, length: number): void;
  /** Called once, last. */
  end(): void;
}

const LITERAL_BYTES = 64 * 1024;

/** Collects encoded pieces until {@link DeltaWriter.take}. */
export class DeltaWriter implements DeltaSink {
  readonly #literal = new Uint8Array(LITERAL_BYTES);
  #literalLength = 0;
  #copyOffset = 0;
  #copyLength = 0;
  #pieces: Uint8Array[] = [word(DELTA_MAGIC)];

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
    this.#pieces.push(Uint8Array.of(OP_END));
  }

  /** Everything encoded since the last call, or undefined. */
  take(): Uint8Array | undefined {
    if (this.#pieces.length === 0) return undefined;
    const joined = Buffer.concat(this.#pieces);
    this.#pieces = [];
    return new Uint8Array(joined.buffer, joined.byteOffset, joined.byteLength);
  }

  #flushLiteral(): void {
    const length = this.#literalLength;
    if (length === 0) return;
    if (length <= OP_LITERAL_MAX_IMMEDIATE) this.#pieces.push(Uint8Array.of(length));
    else this.#pieces.push(command(OP_LITERAL_N1 + widthCode(length), [length]));
    this.#pieces.push(this.#literal.slice(0, length));
    this.#literalLength = 0;
  }

  #flushCopy(): void {
    if (this.#copyLength === 0) return;
    const code = OP_COPY_N1_N1 + 4 * widthCode(this.#copyOffset) + widthCode(this.#copyLength);
    this.#pieces.push(command(code, [this.#copyOffset, this.#copyLength]));
    this.#copyLength = 0;
  }
}

/** log2 of the width in bytes (1, 2, 4, 8) that holds `value`. */
function widthCode(value: number): number {
  if (value <= 0xff) return 0;
  if (value <= 0xffff) return 1;
  return value <= 0xffffffff ? 2 : 3;
}

function command(opcode: number, values: readonly number[]): Uint8Array {
  const bytes = [opcode];
  for (const value of values) {
    const width = 1 << widthCode(value);
    for (let shift = width - 1; shift >= 0; shift--) bytes.push(Math.floor(value / 2 ** (8 * shift)) % 256);
  }
  return Uint8Array.from(bytes);
}

function word(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}
