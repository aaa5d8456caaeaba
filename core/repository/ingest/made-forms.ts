import type { MadeDelta } from '../../contracts/repository.ts';
import type { Digest } from '../../domain/manifest.ts';
import { OverdubError } from '../../errors.ts';
import { ChainError, type ChainLink } from '../deltas/delta-chain.ts';
import type { BaseSource, FoundForm } from '../deltas/delta-search.ts';
import { MADE_DEPTH } from '../packs/pack-format.ts';
import type { PendingChunks } from '../packs/pack-writer.ts';
import type { ChunkReader } from '../reading/chunk-reader.ts';
import { type MadeForm, madeForm, mergeFloor, ReadingBound, WRITTEN_DEPTH } from './made-delta.ts';

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
    if (merged === undefined || anew === undefined || anew.form.depth > WRITTEN_DEPTH) return 'whole';
    const { payload } = merged;
    const chunk = { bytes, delta: anew.form };
    const makes = await tried(async () => {
      await reader.verify(digest, 'the open session', chunk, payload, pending);
      return true;
    });
    if (makes !== true) return 'whole';
    return (await this.#bounded(bytes, payload, anew)) ?? 'whole';
  }
}

function linkOf(bytes: number, payload: Uint8Array, { form }: MadeForm): ChainLink {
  return { bytes, delta: form, payload: () => Promise.resolve(payload) };
}

/** Undefined where it cannot be done with what is stored: the chunk is at hand, and is stored in another form instead. */
async function tried<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OverdubError || error instanceof ChainError) return undefined;
    throw error;
  }
}
