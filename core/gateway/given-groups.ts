/** Stored frames in the answer to a fetch: which go out whole, and for which wants (docs/agent-protocol.md). */

import type { FramedChunk, Repository, StoredFrame } from '../contracts/repository.ts';
import { digestOf } from '../domain/content-ref.ts';
import { DigestMap } from '../domain/digest-map.ts';
import type { Digest } from '../domain/manifest.ts';
import type { GivenGroup } from '../domain/transfer-bodies.ts';

/** A frame goes out whole when at least this part of its bytes is wanted. */
const WORTHWHILE = 0.4;
/** Chunks are picked out of another frame when they are at least this part of it, or all that is wanted of it. */
const WORTH_PICKING = 1 / 16;

export interface GroupPlanOptions {
  readonly repository: Pick<Repository, 'frameOf'>;
  /** Digests that are wanted, in order, a later request's behind this one's; {@link GroupPlan.want} adds more. */
  readonly wanted: readonly Digest[];
  /** May all of these be told to who asks? Else a frame that holds them does not go out as it is. */
  readonly mayGive: (digests: readonly Digest[]) => Promise<boolean>;
  /** What the agent keeps at most of chunks whose turn is still to come, bytes. */
  readonly window: number;
}

/** A want and the chunk of the frame that answers it. */
type Give = readonly [want: number, chunk: number];

/** What answers one want. */
type Answer = 'given' | 'chunk' | Group;

/** A group for the wire. */
export interface Group {
  readonly head: GivenGroup;
  readonly pieces: readonly Uint8Array[];
  /** To be freed once they are gone. */
  readonly buffer: Uint8Array;
  /** Laid together of a frame that was decoded: not compressed. */
  readonly isPicked: boolean;
}

/** Decides for one want after another. Sends no frame as it is twice as long as the agent's window holds what it gives. */
export class GroupPlan {
  readonly #options: GroupPlanOptions;
  readonly #wanted: Digest[] = [];
  /** The last want of each digest; of each want the next of the same digest, of the last one the first. */
  readonly #lastOf = new DigestMap();
  #nextOf = new Int32Array();
  #given = new Uint8Array();
  /** Bytes that the agent lets go of behind each want. */
  #released = new Float64Array();
  readonly #allowed = new Map<string, Promise<boolean>>();
  /** Frames of which nothing can be picked: one by one their chunks come, or tell what is wrong. */
  readonly #unpickable = new Set<string>();
  #held = 0;
  #next = 0;

  constructor(options: GroupPlanOptions) {
    this.#options = options;
    this.want(options.wanted);
  }

  /** Puts more wants behind those before: from now on frames may answer them as well. */
  want(digests: readonly Digest[]): void {
    this.#makeRoom(this.#wanted.length + digests.length);
    for (const digest of digests) {
      const want = this.#wanted.push(digest) - 1;
      const last = this.#lastOf.get(digest);
      this.#nextOf[want] = last === undefined ? want : (this.#nextOf[last] as number);
      if (last !== undefined) this.#nextOf[last] = want;
      this.#lastOf.set(digest, want);
    }
  }

  /** Twice as much as there was, at least: wants may come a few at a time. */
  #makeRoom(wants: number): void {
    const { length } = this.#given;
    if (wants <= length) return;
    const room = length === 0 ? wants : Math.max(wants, 2 * length);
    const grown = <T extends { set(from: T): void }>(made: T, before: T): T => {
      made.set(before);
      return made;
    };
    this.#nextOf = grown(new Int32Array(room), this.#nextOf);
    this.#given = grown(new Uint8Array(room), this.#given);
    this.#released = grown(new Float64Array(room), this.#released);
  }

  *#wantsOf(digest: Digest): Generator<number> {
    const last = this.#lastOf.get(digest);
    if (last === undefined) return;
    let want = last;
    do {
      want = this.#nextOf[want] as number;
      yield want;
    } while (want !== last);
  }

  /** For each want in turn, as far as they were said: an earlier frame gave it, it goes alone, or the group that gives it. */
  async next(): Promise<Answer> {
    const at = this.#next++;
    if (at > 0) this.#held -= this.#released[at - 1] as number;
    if (this.#given[at] === 1) return 'given';
    const frame = await this.#options.repository.frameOf(this.#wanted[at] as Digest);
    if (frame === undefined) return 'chunk';
    const { gives, bytes, several, isAll } = this.#givesOf(frame, at);
    const asItIs = bytes >= frame.rawBytes * WORTHWHILE && (await this.#mayGive(frame));
    const picks = several && (isAll || bytes >= frame.rawBytes * WORTH_PICKING);
    if (!asItIs && (!picks || this.#unpickable.has(frame.id))) return 'chunk';
    const group = await (asItIs ? wholeGroup(frame, gives) : pickedGroup(frame, gives));
    if (group === undefined) {
      this.#unpickable.add(frame.id);
      return 'chunk';
    }
    this.#note(frame, gives);
    return group;
  }

  /** Which wants the frame answers, as far as the window goes, and the bytes of its chunks among them. */
  #givesOf(frame: StoredFrame, at: number) {
    const all: Give[] = [];
    for (const [chunk, { digest }] of frame.chunks.entries()) {
      for (const want of this.#wantsOf(digest))
        if (want >= at && this.#given[want] === 0) all.push([want, chunk]);
    }
    all.sort(([a], [b]) => a - b);
    const room = this.#options.window - this.#held;
    const seen = new Set<number>();
    const gives: Give[] = [];
    let bytes = 0;
    for (const give of all) {
      const more = seen.has(give[1]) ? 0 : (frame.chunks[give[1]]?.bytes ?? 0);
      if (bytes + more > room) break;
      seen.add(give[1]);
      bytes += more;
      gives.push(give);
    }
    return { gives, bytes, several: seen.size > 1, isAll: gives.length === all.length };
  }

  #note(frame: StoredFrame, gives: readonly Give[]): void {
    const last = new Map<number, number>();
    for (const [want, chunk] of gives) {
      this.#given[want] = 1;
      last.set(chunk, want);
    }
    for (const [chunk, want] of last) {
      const { bytes } = frame.chunks[chunk] as FramedChunk;
      this.#held += bytes;
      this.#released[want] = (this.#released[want] as number) + bytes;
    }
  }

  #mayGive(frame: StoredFrame): Promise<boolean> {
    const known = this.#allowed.get(frame.id);
    if (known !== undefined) return known;
    const asked = this.#options.mayGive(frame.digests);
    this.#allowed.set(frame.id, asked);
    return asked;
  }
}

/** The frame as it is stored; undefined when it cannot be read. */
async function wholeGroup(frame: StoredFrame, gives: readonly Give[]): Promise<Group | undefined> {
  const stored = await frame.read();
  if (stored === undefined) return undefined;
  const head: GivenGroup = {
    chunks: frame.lengths,
    encoding: frame.encoding,
    bytes: stored.length,
    gives: gives.map(([want, chunk]) => [want, (frame.chunks[chunk] as FramedChunk).place]),
  };
  return { head, pieces: [stored], buffer: stored, isPicked: false };
}

/**
 * What is wanted of a frame that cannot go out as it is, laid together anew: decoded once, and not again for each chunk.
 * Undefined when one of it is damaged: read by itself, it says what is wrong.
 */
async function pickedGroup(frame: StoredFrame, gives: readonly Give[]): Promise<Group | undefined> {
  const picked = [...new Set(gives.map(([, chunk]) => chunk))].sort((a, b) => a - b);
  const raw = await frame.open();
  if (raw === undefined) return undefined;
  const chunks = picked.map((chunk) => frame.chunks[chunk] as FramedChunk);
  const pieces = chunks.map(({ at, bytes }) => raw.subarray(at, at + bytes));
  if (pieces.some((piece, at) => digestOf(piece) !== chunks[at]?.digest)) return undefined;
  const places = new Map(picked.map((chunk, at) => [chunk, at]));
  const head: GivenGroup = {
    chunks: chunks.map(({ bytes }) => bytes),
    encoding: 'raw',
    bytes: chunks.reduce((sum, { bytes }) => sum + bytes, 0),
    gives: gives.map(([want, chunk]) => [want, places.get(chunk) as number]),
  };
  return { head, pieces, buffer: raw, isPicked: true };
}
