import type { Digest } from '../../domain/manifest.ts';
import type { ChainPart } from '../deltas/delta-chain.ts';

/** Between two parts of a base: what is read along rather than jumped over. */
const GAP_BYTES = 128 * 1024;

/** A part of a chunk that comes from a base. */
export type BasePart = Extract<ChainPart, { readonly base: Digest }>;

/** Bytes of a base that are read at once, from one place of it to another, and what is wanted of them. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly parts: readonly BasePart[];
}

/** What is wanted of each base. */
export function partsByBase(parts: readonly ChainPart[]): Map<Digest, BasePart[]> {
  const bases = new Map<Digest, BasePart[]>();
  for (const part of parts)
    if ('base' in part && !bases.get(part.base)?.push(part)) bases.set(part.base, [part]);
  return bases;
}

/** Reads of a base, in its order: what is wanted, and short gaps between. */
export function stretchesOf(wanted: readonly BasePart[]): Stretch[] {
  const stretches: { from: number; to: number; parts: BasePart[] }[] = [];
  for (const part of wanted.toSorted((a, b) => a.offset - b.offset)) {
    const last = stretches.at(-1);
    const end = part.offset + part.length;
    if (last === undefined || part.offset > last.to + GAP_BYTES)
      stretches.push({ from: part.offset, to: end, parts: [part] });
    else {
      last.to = Math.max(last.to, end);
      last.parts.push(part);
    }
  }
  return stretches;
}
