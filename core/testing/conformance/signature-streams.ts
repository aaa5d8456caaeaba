/** Streams of a {@link SignatureFeature} as whole arrays. */

import type { RandomReader, SignatureFeature, SignedBase } from '../../contracts/delta-codec.ts';

export async function signedBase(
  feature: SignatureFeature,
  base: Uint8Array,
  blockBytes: number,
  piece = 65_536,
): Promise<SignedBase> {
  const options = { sourceBytes: base.length, blockBytes };
  return { signature: await collected(feature.sign(pieces(base, piece), options)), baseBytes: base.length };
}

export async function deltaOf(
  feature: SignatureFeature,
  bases: readonly SignedBase[],
  target: Uint8Array,
  piece = 65_536,
): Promise<Uint8Array> {
  return collected(feature.delta(await feature.index(bases), pieces(target, piece)));
}

export function patched(
  feature: SignatureFeature,
  base: Uint8Array,
  delta: Uint8Array,
  targetBytes: number,
  piece = 65_536,
): Promise<Uint8Array> {
  const reader: RandomReader = {
    bytes: base.length,
    read: async (offset, length) => base.slice(offset, offset + length),
  };
  return taken(feature.patch(reader, pieces(delta, piece), { targetBytes }));
}

/** Like {@link collected}, and overwrites each piece: it is the caller's. */
async function taken(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) {
    parts.push(Uint8Array.from(part));
    part.fill(0xee);
  }
  return new Uint8Array(Buffer.concat(parts));
}

export async function* pieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.slice(at, at + length);
}

export async function collected(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part.slice());
  return new Uint8Array(Buffer.concat(parts));
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
