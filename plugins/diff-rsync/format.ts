/** The numbers of librsync's two file formats (librsync 2.3, `librsync.h`, `prototab.c`), all big-endian. */

import { type FileFormat, OverdubError } from '@overdub/core/agent';

/** First word of a delta. */
export const DELTA_MAGIC = 0x72730236;

/** A delta has no checksum: the content's own digest is to be checked. */
export const DELTA_FORMAT: FileFormat = {
  title: 'rdiff delta',
  magic: bigEndian(DELTA_MAGIC),
  checksummed: false,
};

/** Name of a weak (rolling) checksum. */
export type WeakKind = 'rollsum' | 'rabinkarp';

/** Name of a strong checksum. MD4 collides at will (CVE-2014-8242): read where asked for, never chosen. */
export type StrongKind = 'blake2' | 'md4';

/** The sums of one signature; rdiff 2.3 knows all four pairs (`-R`, `-H`). */
export interface SumKinds {
  readonly weak: WeakKind;
  readonly strong: StrongKind;
}

/** First word of a signature: which sums it holds (`RS_*_SIG_MAGIC`). */
const SIGNATURE_MAGICS: readonly (SumKinds & { readonly magic: number })[] = [
  { magic: 0x72730136, weak: 'rollsum', strong: 'md4' },
  { magic: 0x72730137, weak: 'rollsum', strong: 'blake2' },
  { magic: 0x72730146, weak: 'rabinkarp', strong: 'md4' },
  { magic: 0x72730147, weak: 'rabinkarp', strong: 'blake2' },
];

/** What a signature's file is known by. */
export const SIGNATURE_FORMATS: readonly FileFormat[] = SIGNATURE_MAGICS.map(({ magic, weak, strong }) => ({
  title: `rdiff signature (${weak}, ${strong})`,
  magic: bigEndian(magic),
  checksummed: false,
}));

export function signatureMagic({ weak, strong }: SumKinds): number {
  const found = SIGNATURE_MAGICS.find((entry) => entry.weak === weak && entry.strong === strong);
  if (found === undefined) throw new TypeError(`there are no signatures with ${weak} and ${strong}`);
  return found.magic;
}

/** `undefined` when this is no signature's first word. */
export function sumKindsOf(magic: number): SumKinds | undefined {
  return SIGNATURE_MAGICS.find((entry) => entry.magic === magic);
}

/** Length of a whole strong sum, bytes; signatures may keep less. */
export const STRONG_BYTES: Readonly<Record<StrongKind, number>> = { blake2: 32, md4: 16 };

/** Magic, block length and strong length, four bytes each. */
export const SIGNATURE_HEADER_BYTES = 12;

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

function bigEndian(word: number): Uint8Array {
  return Uint8Array.of(word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255);
}
