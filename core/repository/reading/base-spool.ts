/**
 * Bases of deltas with placed bases, laid out in an unnamed file. A delta of a log copies small pieces from all over
 * a table, and a chunk is made only as a whole: so each is made once, and small reads then go to the
 * file. Memory stays flat; a crash leaves nothing behind.
 */

import type { RandomReader } from '../../contracts/delta-codec.ts';
import type { Digest } from '../../domain/manifest.ts';
import { UnnamedFile } from '../../unnamed-file.ts';
import { damaged } from '../store/damage.ts';

/** A file that has grown to this is given up for a new one, as soon as nobody reads from it. */
const FILE_BYTES = 512 * 1024 * 1024;

/** One base: where it begins in the space of the delta. */
export interface PlacedBase {
  readonly digest: Digest;
  readonly at: number;
  readonly bytes: number;
}

/** Makes the bytes of one base, which `use` may read until it settles. */
export type LendBase = (digest: Digest, use: (bytes: Uint8Array) => Promise<void>) => Promise<void>;

interface Layer {
  readonly file: UnnamedFile;
  /** Digest → offset in the file, once it is there. */
  readonly laying: Map<Digest, Promise<number>>;
  /** The same of what is there. */
  readonly laid: Map<Digest, number>;
  bytes: number;
  readers: number;
  closing: boolean;
}

export class BaseSpool {
  readonly #dir: string;
  #layer: Layer | undefined;

  /** `dir`: where the file goes. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Gives `use` a reader over the bases at their places; good only until `use` settles. */
  async with<T>(
    bases: readonly PlacedBase[],
    lend: LendBase,
    use: (space: RandomReader) => Promise<T>,
  ): Promise<T> {
    const layer = this.#current();
    layer.readers += 1;
    try {
      return await use(new Space(bases, layer, (base) => this.#lay(layer, base, lend)));
    } finally {
      layer.readers -= 1;
      await closeIfIdle(layer);
    }
  }

  /** Lets go of all that is laid out, as soon as nobody reads from it. Whoever comes later begins anew. */
  async close(): Promise<void> {
    const layer = this.#layer;
    this.#layer = undefined;
    if (layer === undefined) return;
    layer.closing = true;
    await closeIfIdle(layer);
  }

  #current(): Layer {
    if (this.#layer !== undefined && this.#layer.bytes < FILE_BYTES) return this.#layer;
    void this.close();
    this.#layer = {
      file: new UnnamedFile(this.#dir),
      laying: new Map(),
      laid: new Map(),
      bytes: 0,
      readers: 0,
      closing: false,
    };
    return this.#layer;
  }

  #lay(layer: Layer, base: PlacedBase, lend: LendBase): Promise<number> {
    const known = layer.laying.get(base.digest);
    if (known !== undefined) return known;
    const offset = layer.bytes;
    layer.bytes += base.bytes;
    const laying = lend(base.digest, (bytes) => write(layer, offset, bytes, base)).then(() => {
      layer.laid.set(base.digest, offset);
      return offset;
    });
    layer.laying.set(base.digest, laying);
    laying.catch(() => layer.laying.delete(base.digest));
    return laying;
  }
}

/** Reads past the end, or from a hole, return fewer bytes: the delta is then refused. */
class Space implements RandomReader {
  readonly bytes: number;
  readonly #bases: readonly PlacedBase[];
  readonly #layer: Layer;
  readonly #lay: (base: PlacedBase) => Promise<number>;

  constructor(bases: readonly PlacedBase[], layer: Layer, lay: (base: PlacedBase) => Promise<number>) {
    const last = bases.at(-1);
    this.bytes = last === undefined ? 0 : last.at + last.bytes;
    this.#bases = bases;
    this.#layer = layer;
    this.#lay = lay;
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    const end = offset + length;
    let from = offset;
    for (let index = indexOf(this.#bases, offset); from < end; index++) {
      const base = this.#bases[index];
      if (base === undefined || base.at > from || from >= base.at + base.bytes) break;
      const wanted = Math.min(end, base.at + base.bytes) - from;
      const part = into?.subarray(from - offset, from - offset + wanted) ?? Buffer.allocUnsafe(wanted);
      const start = (await this.#lay(base)) + (from - base.at);
      parts.push(await this.#layer.file.read(part, start));
      from += wanted;
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  /** Of one base, as nearly all reads are, that is laid out: a delta has one for every few bytes. */
  readNow(offset: number, into: Uint8Array): boolean {
    const base = this.#bases[indexOf(this.#bases, offset)];
    if (base === undefined || base.at > offset || offset + into.length > base.at + base.bytes) return false;
    const start = this.#layer.laid.get(base.digest);
    if (start === undefined) return false;
    return this.#layer.file.readNow(into, start + (offset - base.at)) === into.length;
  }
}

/** The last base that begins at or before `offset`. */
function indexOf(bases: readonly PlacedBase[], offset: number): number {
  let low = 0;
  let high = bases.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((bases[middle] as PlacedBase).at <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

async function write(layer: Layer, offset: number, bytes: Uint8Array, base: PlacedBase): Promise<void> {
  if (bytes.length !== base.bytes) throw damaged(`A delta gives its base ${base.digest} another length.`);
  await layer.file.put(bytes, offset);
}

async function closeIfIdle(layer: Layer): Promise<void> {
  if (layer.closing && layer.readers === 0) await layer.file.close();
}
