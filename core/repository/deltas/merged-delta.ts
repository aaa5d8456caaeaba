import type { DeltaPart } from '../../contracts/delta-codec.ts';
import type { MadeDelta } from '../../contracts/repository.ts';
import type { Digest } from '../../domain/manifest.ts';
import { ChainError, type ChainPart } from './delta-chain.ts';

/** Parts of a chunk that was put together, in terms of one delta: its bases one behind another, and copies from there. */
export interface MergedParts {
  readonly bases: MadeDelta['bases'];
  readonly parts: readonly DeltaPart[];
}

/** `bytesOf`: the length of a base. Throws where a base is unknown. */
export function mergedParts(
  parts: readonly ChainPart[],
  bytesOf: (base: Digest) => number | undefined,
): MergedParts {
  const placeByBase = new Map<Digest, number>();
  const bases: { digest: Digest; at: number; bytes: number }[] = [];
  let end = 0;
  const placeOf = (digest: Digest): number => {
    const known = placeByBase.get(digest);
    if (known !== undefined) return known;
    const bytes = bytesOf(digest);
    if (bytes === undefined) throw new ChainError(`its base ${digest} is missing`);
    const at = end;
    bases.push({ digest, at, bytes });
    placeByBase.set(digest, at);
    end += bytes;
    return at;
  };
  const merged = parts.map(
    (part): DeltaPart =>
      'base' in part
        ? { kind: 'copy', offset: placeOf(part.base) + part.offset, length: part.length }
        : { kind: 'literal', bytes: part.bytes },
  );
  return { bases, parts: merged };
}
