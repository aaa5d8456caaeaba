import { MemoryBlobStore } from './memory-blob-store.ts';

/** What is read wrong: the stretches that hold this byte of a blob, or of any. */
export interface WrongRead {
  readonly name?: string;
  readonly at: number;
  /** What comes of such a stretch, which begins with the byte at `at` or before it. */
  readonly as: (bytes: Uint8Array) => Uint8Array;
  /** How often, 1 if left out. */
  readonly times?: number;
}

/** A disk that reads one stretch wrong, once or a few times; what is stored is as it should be. */
export class OnceWrongStore extends MemoryBlobStore {
  #wrong: WrongRead | undefined;
  /** How often it still reads wrong. */
  left = 0;

  set wrong(wrong: WrongRead) {
    this.#wrong = wrong;
    this.left = wrong.times ?? 1;
  }

  override async get(name: string, range?: { offset: number; length: number }): Promise<Uint8Array> {
    const bytes = await super.get(name, range);
    const wrong = this.#wrong;
    if (wrong === undefined || range === undefined || this.left === 0) return bytes;
    const isIn = wrong.at >= range.offset && wrong.at < range.offset + range.length;
    if (!isIn || (wrong.name ?? name) !== name) return bytes;
    this.left -= 1;
    return wrong.as(bytes);
  }
}
