import type { DamagedPack, VerifyOptions, VerifyReport } from '../../contracts/repository.ts';
import { storedPacks } from '../chunk-index/reconcile.ts';
import { DamageWalk, type DamageWalkParts } from './damage-walk.ts';
import { checkPackData, checkPackIndex, type PackCheckParts, recheckSuspects } from './pack-check.ts';

/** Packs that are listed; all are counted. */
const MAX_PACKS = 1000;

interface KnownPack {
  readonly name: string;
  readonly bytes: number;
}

/**
 * Looks at everything: each pack's presence, length and index, with `readData` the chunks in it, then what that means
 * for every image. Changes nothing but which chunks count as missing.
 */
export class Verifier {
  readonly #parts: DamageWalkParts & PackCheckParts;
  readonly #options: VerifyOptions;
  readonly #damaged: DamagedPack[] = [];
  #damagedTotal = 0;

  constructor(parts: Omit<DamageWalkParts & PackCheckParts, 'signal' | 'failures'>, options: VerifyOptions) {
    this.#parts = { ...parts, signal: options.signal, failures: { count: 0 } };
    this.#options = options;
  }

  async run(): Promise<VerifyReport> {
    const { onProgress } = this.#options;
    const { packs, readable } = await this.#checkPacks();
    const read = this.#options.readData === true ? await this.#readData(readable) : NOTHING_READ;
    await recheckSuspects(this.#parts);
    const walk = new DamageWalk(this.#parts);
    const damage = await walk.run((label) => onProgress?.({ text: `looking at ${label}` }));
    const sound = this.#damagedTotal === 0 && damage.placesTotal === 0 && damage.damagedRecords.length === 0;
    return {
      sound,
      packs,
      ...read,
      ...damage,
      damagedPacks: this.#damaged,
      damagedPacksTotal: this.#damagedTotal,
    };
  }

  /** Presence, length and index. What is read from a pack that is gone counts as missing from now on. */
  async #checkPacks(): Promise<{ packs: number; readable: KnownPack[] }> {
    const { store, index, signal } = this.#parts;
    const present = await storedPacks(store);
    for (const name of index.damagedPacks())
      this.#note(name, 'its index is damaged; what it held counts as missing');
    const known = [...index.packs()];
    const readable: KnownPack[] = [];
    for (const [at, [name, bytes]] of known.entries()) {
      signal?.throwIfAborted();
      if (at % 100 === 0)
        this.#options.onProgress?.({ text: `looking at pack ${at + 1} of ${known.length}` });
      const length = present.get(name);
      if (length !== bytes) {
        index.suspects.markPack(name);
        this.#note(name, length === undefined ? 'it is gone' : `it has ${length} bytes instead of ${bytes}`);
        continue;
      }
      const why = await checkPackIndex(store, name, bytes);
      if (why !== undefined) this.#note(name, why);
      readable.push({ name, bytes });
    }
    return { packs: known.length, readable };
  }

  /** Those first whose data was not read for the longest time: successive samples get around to all of them. */
  async #readData(packs: readonly KnownPack[]): Promise<typeof NOTHING_READ> {
    const { index } = this.#parts;
    const chosen = this.#choose(packs, index.checked.turns());
    const totalBytes = chosen.reduce((sum, pack) => sum + pack.bytes, 0);
    let [readChunks, readBytes, doneBytes] = [0, 0, 0];
    for (const { name, bytes } of chosen) {
      this.#options.onProgress?.({ text: 'reading', doneBytes, totalBytes });
      const checked = await checkPackData(this.#parts, name, bytes);
      if (checked.why !== undefined) this.#note(name, checked.why);
      index.checked.note(name);
      readChunks += checked.chunks;
      readBytes += checked.bytes;
      doneBytes += bytes;
    }
    return { readPacks: chosen.length, readChunks, readBytes };
  }

  #choose(packs: readonly KnownPack[], checked: ReadonlyMap<string, number>): readonly KnownPack[] {
    const share = (this.#options.samplePercent ?? 100) / 100;
    let left = packs.reduce((sum, pack) => sum + pack.bytes, 0) * share;
    const turn = ({ name }: KnownPack) => checked.get(name) ?? 0;
    return [...packs]
      .sort((a, b) => turn(a) - turn(b))
      .filter(({ bytes }) => {
        if (left <= 0) return false;
        left -= bytes;
        return true;
      });
  }

  #note(pack: string, why: string): void {
    const known = this.#damaged.findIndex((one) => one.pack === pack);
    if (known >= 0) {
      const former = this.#damaged[known] as DamagedPack;
      this.#damaged[known] = { pack, why: `${former.why}; ${why}` };
      return;
    }
    this.#damagedTotal += 1;
    if (this.#damaged.length < MAX_PACKS) this.#damaged.push({ pack, why });
  }
}

const NOTHING_READ = { readPacks: 0, readChunks: 0, readBytes: 0 };
