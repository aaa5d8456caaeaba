/** The numbers of librsync's two file formats (librsync 2.3, `librsync.h`, `prototab.c`), all big-endian. */

import { OverdubError } from '@overdub/core/agent';

/** First word of a delta. */
export const DELTA_MAGIC = 0x72730236;

/** First word of a signature: which weak sum goes with a BLAKE2b strong sum. */
export const SIGNATURE_MAGIC = { rollsum: 0x72730137, rabinkarp: 0x72730147 } as const;

/** Signatures with an MD4 strong sum: recognised only to be refused. */
export const MD4_MAGICS: readonly number[] = [0x72730136, 0x72730146];

/** Name of a weak (rolling) checksum. */
export type WeakKind = keyof typeof SIGNATURE_MAGIC;

/** Magic, block length and strong length, four bytes each. */
export const SIGNATURE_HEADER_BYTES = 12;

/** Length of a whole BLAKE2b strong sum; signatures may keep less. */
export const MAX_STRONG_BYTES = 32;

/** Shorter strong sums are refused: blocks would be taken for others by accident or by design. */
export const MIN_STRONG_BYTES = 12;

/** Blocks outside these bounds are refused: rdiff's own are 256 bytes and more. */
export const MIN_BLOCK_BYTES = 16;
export const MAX_BLOCK_BYTES = 16 * 1024 * 1024;

/** Delta opcodes. Lengths up to 64 are opcodes themselves; the rest name the width of their numbers. */
export const OP_END = 0;
export const OP_LITERAL_MAX_IMMEDIATE = 64;
export const OP_LITERAL_N1 = 65;
export const OP_COPY_N1_N1 = 69;
export const OP_COPY_N8_N8 = 84;

/** A delta or signature that is truncated, corrupt or hostile. */
export function invalid(message: string): OverdubError {
  return new OverdubError(
    'DELTA_INVALID',
    message,
    'Make the delta or signature again from the right base; if it was stored, verify the repository.',
  );
}
