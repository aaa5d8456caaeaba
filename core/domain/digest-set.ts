/** Many digests in little memory: about 40 bytes each instead of the hundreds of a Set of strings. */

import { DIGEST_BYTES, DigestTable } from './digest-table.ts';
import type { Digest } from './manifest.ts';

export { DIGEST_BYTES } from './digest-table.ts';

/** Hex → 32 bytes. */
export function digestBytes(digest: Digest): Buffer {
  return Buffer.from(digest, 'hex');
}

/** Digests one after another in one buffer. */
export function packDigests(digests: readonly Digest[]): Buffer {
  return Buffer.from(digests.join(''), 'hex');
}

/** The reverse of {@link packDigests}; undefined unless the length is a multiple of 32. */
export function unpackDigests(bytes: Uint8Array): Digest[] | undefined {
  if (bytes.length % DIGEST_BYTES !== 0) return undefined;
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  const digests: Digest[] = [];
  for (let at = 0; at < hex.length; at += 2 * DIGEST_BYTES)
    digests.push(hex.slice(at, at + 2 * DIGEST_BYTES));
  return digests;
}

/** A set of digests. Nothing is ever removed. */
export class DigestSet {
  readonly #table = new DigestTable((slots) => new Uint8Array(slots));

  get size(): number {
    return this.#table.size;
  }

  /** Memory held, bytes. */
  get bytes(): number {
    return this.#table.bytes;
  }

  has(digest: Digest): boolean {
    return this.#table.get(digest) !== 0;
  }

  add(digest: Digest): void {
    this.#table.put(digest, 1);
  }

  /** All of them. */
  digests(): Generator<Digest> {
    return this.#table.digests();
  }
}
