import type { MadeDelta } from '../../contracts/repository.ts';
import type { Digest } from '../../domain/manifest.ts';
import type { ChainLink } from '../deltas/delta-chain.ts';
import type { BaseSource, FoundForm } from '../deltas/delta-search.ts';
import { MADE_DEPTH } from '../packs/pack-format.ts';
import type { PendingChunks } from '../packs/pack-writer.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import { isDamage } from '../store/damage.ts';
import { type MadeForm, madeForm, mergeFloor, ReadingBound } from './made-delta.ts';

type Delta = NonNullable<FoundForm['delta']>;

/** The repository as one session sees it. */
export interface MadeFormsParts {
  readonly reader: ChunkReader;
  readonly source: BaseSource;
  readonly pending: PendingChunks;
}

/** How the ready-made deltas of one session are stored: as they came, merged with what they lie on, or not at all. */
export class MadeForms {
  readonly #parts: MadeFormsParts;
  readonly #bound = new ReadingBound();

  constructor(parts: MadeFormsParts) {
    this.#parts = parts;
  }

  /** `whole` where nothing else is to be looked for; undefined where another form is. */
  async accept(digest: Digest, bytes: number, made: MadeDelta): Promise<Delta | 'whole' | undefined> {
    const found = madeForm(bytes, made, this.#parts.source);
    if (found === undefined) return undefined;
    const accepted = await this.#formed(digest, bytes, made, found);
    if (accepted === 'whole') this.#bound.takesWhole(bytes);
    return accepted;
  }

  async #formed(
    digest: Digest,
    bytes: number,
    made: MadeDelta,
    found: MadeForm,
  ): Promise<Delta | 'whole' | undefined> {
    const floor = mergeFloor(bytes, made.payload.length, found);
    if (floor === 'whole') return 'whole';
    if (floor === undefined) return await this.#bounded(bytes, made.payload, found);
    return await this.#merged(digest, bytes, made, found, floor);
  }

  async #bounded(bytes: number, payload: Uint8Array, found: MadeForm): Promise<Delta | 'whole' | undefined> {
    const { form } = found;
    if (form.depth <= MADE_DEPTH) return this.#bound.takes(bytes, found) ? { payload, form } : undefined;
    const { reader, pending } = this.#parts;
    const wanted = await tried(() => reader.chains.wanted(linkOf(bytes, payload, found), pending));
    if (wanted === undefined) return undefined;
    return this.#bound.takesDeep(bytes, payload.length, found, wanted) ? { payload, form } : 'whole';
  }

  /** It is stored only where it makes the chunk: what it is put together from was compared when it came, and may be damaged since. */
  async #merged(
    digest: Digest,
    bytes: number,
    made: MadeDelta,
    found: MadeForm,
    floor: number,
  ): Promise<Delta | 'whole' | undefined> {
    const { reader, source, pending } = this.#parts;
    const link = linkOf(bytes, made.payload, found);
    const merged = await tried(() => reader.chains.merged(link, floor, pending));
    const anew = merged && madeForm(bytes, { ...merged, shared: made.shared }, source);
    if (merged === undefined || anew === undefined) return 'whole';
    const bounded = await this.#bounded(bytes, merged.payload, anew);
    if (bounded === undefined || bounded === 'whole') return 'whole';
    return (await this.#makes(digest, bytes, bounded)) ? bounded : 'whole';
  }

  async #makes(digest: Digest, bytes: number, { payload, form }: Delta): Promise<boolean> {
    const { reader, pending } = this.#parts;
    try {
      await reader.verify(digest, 'the open session', { bytes, delta: form }, payload, pending);
      return true;
    } catch (error) {
      if (isDamage(error)) return false;
      throw error;
    }
  }
}

function linkOf(bytes: number, payload: Uint8Array, { form }: MadeForm): ChainLink {
  return { bytes, delta: form, payload: () => Promise.resolve(payload) };
}

async function tried<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch {
    // Whatever it is: the chunk is stored in another form instead.
    return undefined;
  }
}
