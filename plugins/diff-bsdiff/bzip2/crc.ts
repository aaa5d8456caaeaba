/** bzip2's CRC-32: polynomial 0x04c11db7, most significant bit first. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit++) value = value < 0 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value;
});

/** What {@link crcOf} starts with; the last value is inverted. */
export const CRC_START = -1;

/** The checksum after `bytes[from, to)`. */
export function crcOf(crc: number, bytes: Uint8Array, from: number, to: number): number {
  let value = crc;
  for (let i = from; i < to; i++) {
    value = (value << 8) ^ (TABLE[(value >>> 24) ^ (bytes[i] as number)] as number);
  }
  return value;
}

/** The stream's checksum after one more block's. */
export function combinedCrc(stream: number, block: number): number {
  return ((stream << 1) | (stream >>> 31)) ^ block;
}
