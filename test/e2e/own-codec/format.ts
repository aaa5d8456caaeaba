/**
 * Signature and delta formats of `test-blocks`, which exist only here.
 *
 * Signature: `OWNS`, block length (u32), then for each whole block its rolling hash (u32) and 16 bytes of SHA-256.
 * Delta: `OWND`, length (u8) and UTF-8 name of the host that made it, then instructions: `C` offset (u48) length
 * (u32), `L` length (u32) bytes, and `E` at the end. Numbers are little-endian.
 */

export const SIGNATURE_MAGIC = Buffer.from('OWNS');
export const DELTA_MAGIC = Buffer.from('OWND');
export const SIGNATURE_HEAD_BYTES = 8;
export const STRONG_BYTES = 16;
export const BLOCK_RECORD_BYTES: number = 4 + STRONG_BYTES;

const COPY = 0x43;
const LITERAL = 0x4c;
const END = 0x45;
const HOST_BYTES = 255;

export type Instruction =
  | { readonly kind: 'copy'; readonly from: number; readonly length: number }
  | { readonly kind: 'literal'; readonly bytes: Uint8Array };

export async function* encodeDelta(
  madeOn: string,
  instructions: AsyncIterable<Instruction>,
): AsyncGenerator<Uint8Array> {
  const host = Buffer.from(madeOn).subarray(0, HOST_BYTES);
  yield Buffer.concat([DELTA_MAGIC, Uint8Array.of(host.length), host]);
  let copy: { from: number; length: number } | undefined;
  for await (const next of instructions) {
    if (next.kind === 'copy' && copy !== undefined && copy.from + copy.length === next.from) {
      copy.length += next.length;
      continue;
    }
    if (copy !== undefined) yield copyInstruction(copy.from, copy.length);
    copy = next.kind === 'copy' ? { from: next.from, length: next.length } : undefined;
    if (next.kind === 'literal') yield literalInstruction(next.bytes);
  }
  if (copy !== undefined) yield copyInstruction(copy.from, copy.length);
  yield Uint8Array.of(END);
}

/** Reads a delta from its head to its end; rejects when it is cut, malformed or followed by more. */
export class DeltaReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #buffer: Buffer = Buffer.alloc(0);
  /** Bytes read so far. */
  bytes = 0;

  constructor(delta: AsyncIterable<Uint8Array>) {
    this.#source = delta[Symbol.asyncIterator]();
  }

  /** Name of the host that made it. */
  async head(): Promise<string> {
    if (!(await this.#take(DELTA_MAGIC.length)).equals(DELTA_MAGIC))
      throw new Error('this is no test-blocks delta');
    return (await this.#take((await this.#take(1)).readUInt8())).toString();
  }

  /** `room`: how many bytes the target still wants; no instruction may make more. */
  async instruction(room: number): Promise<Instruction | undefined> {
    const kind = (await this.#take(1)).readUInt8();
    if (kind === END) return await this.#atEnd();
    if (kind !== COPY && kind !== LITERAL) throw new Error(`an instruction of unknown kind ${kind}`);
    const from = kind === COPY ? (await this.#take(6)).readUIntLE(0, 6) : 0;
    const length = (await this.#take(4)).readUInt32LE();
    if (length === 0 || length > room) throw new Error('an instruction makes more than the target holds');
    return kind === COPY
      ? { kind: 'copy', from, length }
      : { kind: 'literal', bytes: await this.#take(length) };
  }

  async #atEnd(): Promise<undefined> {
    if (this.#buffer.length > 0 || (await this.#more())) throw new Error('something follows the delta');
    return undefined;
  }

  async #take(length: number): Promise<Buffer> {
    while (this.#buffer.length < length) if (!(await this.#more())) throw new Error('the delta is cut');
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    this.bytes += length;
    return taken;
  }

  async #more(): Promise<boolean> {
    for (let next = await this.#source.next(); next.done !== true; next = await this.#source.next()) {
      if (next.value.length === 0) continue;
      this.#buffer = Buffer.concat([this.#buffer, next.value]);
      return true;
    }
    return false;
  }
}

function copyInstruction(from: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(11);
  bytes.writeUInt8(COPY, 0);
  bytes.writeUIntLE(from, 1, 6);
  bytes.writeUInt32LE(length, 7);
  return bytes;
}

function literalInstruction(literal: Uint8Array): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt8(LITERAL, 0);
  head.writeUInt32LE(literal.length, 1);
  return Buffer.concat([head, literal]);
}
