import { DigestSet } from '../../domain/digest-set.ts';
import type { Digest } from '../../domain/manifest.ts';

/** Chains of deltas are shorter; more can only come from damage. */
export const MAX_CHAIN = 128;

/** What marking needs to know of a stored chunk. */
export interface MarkedPlace {
  /** Length of the chunk itself. */
  readonly bytes: number;
  /** `whole`, or the codec of its delta. */
  readonly form: string;
  /** Number of its pack in the chunk index. */
  readonly pack: number;
  /** Its share of its frame, bytes. */
  readonly storedBytes: number;
  readonly suspect: boolean;
  readonly bases: readonly Digest[];
}

/** A pack is rewritten when less than this share of it lives. */
const SPARSE_SHARE = 0.5;

/** Is so little of this pack alive that the rest is worth copying what lives? */
export function worthCopying(pack: { readonly bytes: number; readonly liveBytes: number }): boolean {
  return pack.liveBytes < pack.bytes * SPARSE_SHARE;
}

/** One pack as a collection sees it. */
export interface PackLife {
  readonly id: number;
  readonly name: string;
  readonly bytes: number;
  /** False: its index is damaged, nobody knows what is in it. */
  readonly readable: boolean;
  liveChunks: number;
  /** As marking found it. */
  liveBytes: number;
  /** `condemned`: no hit for anybody, still readable. `gone`: its blob is being removed. */
  state: 'kept' | 'condemned' | 'gone';
}

/**
 * What one collection knows to be alive. Chunks are only ever added; a pack that was condemned comes back when
 * something in it turns out to be alive. Packs that are made after the collection began are never judged.
 */
export class LiveSet {
  readonly #chunks = new DigestSet();
  readonly #packs: ReadonlyMap<number, PackLife>;
  readonly #place: (digest: Digest) => MarkedPlace | undefined;
  #condemning = false;
  #isWhole = true;

  constructor(packs: Iterable<PackLife>, place: (digest: Digest) => MarkedPlace | undefined) {
    this.#packs = new Map([...packs].map((pack) => [pack.id, pack]));
    this.#place = place;
  }

  get packs(): Iterable<PackLife> {
    return this.#packs.values();
  }

  get chunks(): number {
    return this.#chunks.size;
  }

  has(digest: Digest): boolean {
    return this.#chunks.has(digest);
  }

  /** The chunk, what its delta is made from and their packs live from now on. False when it is not there. */
  mark(digest: Digest): boolean {
    if (this.#chunks.has(digest)) return true;
    const place = this.#place(digest);
    if (place === undefined || place.suspect) this.#isWhole = false;
    if (place === undefined) return false;
    const pack = this.#packs.get(place.pack);
    if (pack?.state === 'gone') return false;
    this.#chunks.add(digest);
    if (pack !== undefined) {
      pack.state = 'kept';
      pack.liveChunks += 1;
      pack.liveBytes += place.storedBytes;
    }
    for (const base of place.bases) this.mark(base);
    return true;
  }

  /** {@link mark}, unless something of it is not there or damaged: then nothing happens, and false comes back. */
  revive(digest: Digest): boolean {
    return this.#isSound(digest, new Set()) && this.mark(digest);
  }

  /** `seen`: looked at already, as deltas that share bases would have it again and again. */
  #isSound(digest: Digest, seen: Set<Digest>): boolean {
    if (seen.has(digest)) return true;
    seen.add(digest);
    const place = this.#place(digest);
    if (place === undefined || place.suspect) return false;
    if (this.#packs.get(place.pack)?.state === 'gone') return false;
    return place.bases.every((base) => this.#isSound(base, seen));
  }

  /** A live chunk of `pack` lies elsewhere now. */
  moved(pack: PackLife): void {
    pack.liveChunks -= 1;
  }

  /**
   * Packs in which nothing lives are no hit from now on. Returns them. One that cannot be read may hold what images lack:
   * as long as they lack anything it stays.
   */
  condemn(): PackLife[] {
    const dead = [...this.#packs.values()].filter(
      (pack) => pack.liveChunks === 0 && (pack.readable || this.#isWhole),
    );
    for (const pack of dead) pack.state = 'condemned';
    this.#condemning = true;
    return dead;
  }

  /**
   * How a stored chunk stands. A dead delta counts as condemned whatever its pack: a base of it may go.
   */
  verdict(digest: Digest, pack: number, isDelta: boolean): 'condemned' | 'gone' | undefined {
    const life = this.#packs.get(pack);
    if (life === undefined || !this.#condemning) return undefined;
    if (life.state !== 'kept') return life.state;
    return isDelta && !this.#chunks.has(digest) ? 'condemned' : undefined;
  }
}
