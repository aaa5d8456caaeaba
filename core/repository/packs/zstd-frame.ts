/** The outside of a Zstandard frame (RFC 8878 §3.1.1), read without decompressing anything. */

const MAGIC = 0xfd2fb528;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
/** Of the field that holds the content's length, by its flag; the first is one byte in a single segment. */
const LENGTH_BYTES = [0, 2, 4, 8] as const;
const BLOCK = { rle: 1, reserved: 3 } as const;

/**
 * Throws unless these bytes are one frame and nothing else, which says that it makes `rawBytes` and needs no dictionary
 * and no window over `1 << windowLog` bytes. So whoever decompresses it later, with whatever program, meets no second
 * frame, no trailing bytes, and no demand for memory. The blocks themselves are for a decoder to judge.
 */
export function assertOneFrame(bytes: Uint8Array, rawBytes: number, windowLog: number): void {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (frame.length < 5 || frame.readUInt32LE(0) !== MAGIC) throw new Error('it is no zstd frame');
  const flags = frame[4] as number;
  if ((flags & 0x08) !== 0) throw new Error('its header has a reserved bit set');
  if ((flags & 0x03) !== 0) throw new Error('it needs a dictionary');
  const isSingle = (flags & 0x20) !== 0;
  if (!isSingle && windowOf(frame[5]) > 2 ** windowLog) throw new Error('its window is too large');
  const at = isSingle ? 5 : 6;
  const lengthBytes = LENGTH_BYTES[flags >> 6] || (isSingle ? 1 : 0);
  if (lengthOf(frame, at, lengthBytes) !== rawBytes)
    throw new Error(`it does not say that it makes ${rawBytes} bytes`);
  const end = endOfBlocks(frame, at + lengthBytes) + ((flags & 0x04) !== 0 ? CHECKSUM_BYTES : 0);
  if (end !== frame.length) throw new Error('it is cut off, or other bytes follow it');
}

/** §3.1.1.1.2: an exponent in the upper five bits, eighths in the lower three. */
function windowOf(descriptor = 0): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** §3.1.1.1.4; undefined where the header does not tell. */
function lengthOf(frame: Buffer, at: number, lengthBytes: number): number | undefined {
  if (lengthBytes === 0 || at + lengthBytes > frame.length) return undefined;
  if (lengthBytes === 8) return Number(frame.readBigUInt64LE(at));
  return frame.readUIntLE(at, lengthBytes) + (lengthBytes === 2 ? 256 : 0);
}

/** §3.1.1.2: just behind the last block. */
function endOfBlocks(frame: Buffer, from: number): number {
  for (let at = from; at + BLOCK_HEADER_BYTES <= frame.length; ) {
    const header = frame.readUIntLE(at, BLOCK_HEADER_BYTES);
    const type = (header >> 1) & 3;
    if (type === BLOCK.reserved) throw new Error('it has a block of a reserved type');
    at += BLOCK_HEADER_BYTES + (type === BLOCK.rle ? 1 : header >> 3);
    if ((header & 1) === 1) return at;
  }
  return Number.NaN;
}
