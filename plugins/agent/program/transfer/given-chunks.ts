/** Chunks that came in groups before their turn. */

import { type Digest, release } from '@overdub/core/agent';

interface Group {
  raw: Uint8Array;
  /** Bytes of chunks that are still to be taken. */
  left: number;
  readonly chunks: Set<Given>;
}

interface Given {
  readonly digest: Digest;
  readonly bytes: number;
  at: number;
  /** How often it is to be taken. */
  uses: number;
  readonly group: Group;
}

/** A chunk of a group: where it lies among the decoded bytes, and how often it will be taken. */
export interface GivenChunk {
  readonly digest: Digest;
  readonly at: number;
  readonly bytes: number;
  readonly uses: number;
}

/**
 * Keeps them until they are taken, in at most twice their bytes and what may be wasted besides: beyond that a group of which less than half
 * is left is laid together anew, which takes time.
 */
export class GivenChunks {
  readonly #chunks = new Map<Digest, Given>();
  /** Groups whose last chunk was taken: who took it may still read it. */
  #spent: Uint8Array[] = [];
  readonly #wasteBytes: number;
  #held = 0;
  /** Of the groups' buffers. */
  #raw = 0;

  /** `wasteBytes`: so much of the groups' buffers may lie there for nothing. */
  constructor(wasteBytes = 0) {
    this.#wasteBytes = wasteBytes;
  }

  /** Bytes of the chunks that are kept. */
  get heldBytes(): number {
    return this.#held;
  }

  has(digest: Digest): boolean {
    return this.#chunks.has(digest);
  }

  /** Keeps these chunks of a group; its buffer is freed when all are taken. A chunk that is here already is taken more often. */
  add(raw: Uint8Array, chunks: readonly GivenChunk[]): void {
    const group: Group = { raw, left: 0, chunks: new Set() };
    this.#raw += raw.length;
    for (const chunk of chunks) {
      const known = this.#chunks.get(chunk.digest);
      if (known !== undefined) {
        known.uses += chunk.uses;
        continue;
      }
      const given = { ...chunk, group };
      this.#chunks.set(chunk.digest, given);
      group.chunks.add(given);
      group.left += chunk.bytes;
      this.#held += chunk.bytes;
    }
    if (this.#isLetGo(group)) release(raw);
  }

  /** The chunk's bytes, good until the next call; undefined when it is not here. */
  take(digest: Digest): Uint8Array | undefined {
    for (const raw of this.#spent.splice(0)) release(raw);
    const given = this.#chunks.get(digest);
    if (given === undefined) return undefined;
    const { group, at, bytes } = given;
    const taken = group.raw.subarray(at, at + bytes);
    given.uses -= 1;
    if (given.uses === 0) this.#drop(given);
    return taken;
  }

  /** Lets go of all chunks but these, each of which will be taken so often. */
  keep(uses: ReadonlyMap<Digest, number>): void {
    for (const given of [...this.#chunks.values()]) {
      given.uses = uses.get(given.digest) ?? 0;
      if (given.uses === 0) this.#drop(given);
    }
  }

  #drop(given: Given): void {
    const { group } = given;
    this.#chunks.delete(given.digest);
    this.#held -= given.bytes;
    group.left -= given.bytes;
    group.chunks.delete(given);
    const before = group.raw;
    if (this.#isLetGo(group)) this.#spent.push(before);
  }

  /** Is its buffer needed no more? What is left is laid together anew when it is less than half, and too much lies around. */
  #isLetGo(group: Group): boolean {
    const before = group.raw.length;
    const isWasteful = group.left * 2 < before && this.#raw - this.#held > this.#wasteBytes;
    if (group.chunks.size > 0 && !isWasteful) return false;
    layTogether(group);
    this.#raw -= before - group.raw.length;
    return true;
  }
}

function layTogether(group: Group): void {
  const fitting = Buffer.allocUnsafeSlow(group.left);
  let at = 0;
  for (const given of group.chunks) {
    fitting.set(group.raw.subarray(given.at, given.at + given.bytes), at);
    given.at = at;
    at += given.bytes;
  }
  group.raw = fitting;
}
