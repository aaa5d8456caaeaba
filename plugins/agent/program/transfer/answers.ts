/** Answers of a fetch as they come: chunks, deltas and groups, checked and read ahead. */

import { availableParallelism } from 'node:os';
import {
  badFrame,
  type ChunkRef,
  type Digest,
  digestOf,
  FRAME,
  type Frame,
  frameJson,
  type GivenGroup,
  GROUP_BYTES,
  OverdubError,
  openGroup,
  Pieces,
  rawBytesOf,
  readGroup,
} from '@overdub/core/agent';
import type { GivenChunk, GivenChunks } from './given-chunks.ts';

/** Groups that the appliance may count as taken while ours still lie here: one is decoded while the one before is written. */
const GROUPS_AHEAD = 2;

/** Shorter chunks are hashed sooner than another thread is asked. */
const HASHED_ASIDE_BYTES = 256 * 1024;
const IS_PARALLEL = availableParallelism() > 1;

/** A frame that answers something, or word that a group was laid down. */
export type Answer = Frame | 'group';

export interface AnswersOptions {
  readonly frames: AsyncGenerator<Frame>;
  /** The chunks asked for, in the order of the request. */
  readonly asked: readonly ChunkRef[];
  readonly given: GivenChunks;
  /** As the head of the request said. */
  readonly window: number;
}

/** Reads one answer ahead. Everything a group announces is checked before anything is allocated for it. */
export class AnswerReader {
  readonly #options: AnswersOptions;
  readonly #answered: Uint8Array;
  readonly #bad = new Set<Digest>();
  readonly #sinceMs = performance.now();
  #waitedMs = 0;
  /** When what is read ahead had come, before it was opened. */
  #cameMs = 0;
  #ahead: Promise<Answer | undefined>;

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#answered = new Uint8Array(options.asked.length);
    this.#ahead = this.#begin();
  }

  /** The next answer. REPOSITORY_DAMAGED when there are no more; INPUT_INVALID when one is malformed. */
  async next(): Promise<Answer> {
    const fromMs = performance.now();
    const answer = await this.#ahead;
    this.#waitedMs += Math.max(0, this.#cameMs - fromMs);
    if (answer === undefined) throw damagedAnswer();
    this.#ahead = this.#begin();
    return answer;
  }

  /** Did this chunk come in a group that was damaged? */
  isBad(digest: Digest): boolean {
    return this.#bad.has(digest);
  }

  /** Of the time until now, the part that was spent waiting for what had not come yet: 0 to 1. */
  get waited(): number {
    return Math.min(1, this.#waitedMs / Math.max(1, performance.now() - this.#sinceMs));
  }

  async close(): Promise<void> {
    await this.#ahead.catch(() => undefined);
    await this.#options.frames.return(undefined);
  }

  #begin(): Promise<Answer | undefined> {
    const reading = this.#read();
    // Whoever asks for it hears of a failure; until then it is not unhandled.
    reading.catch(() => undefined);
    return reading;
  }

  async #read(): Promise<Answer | undefined> {
    const { frames } = this.#options;
    const frame = await frames.next();
    if (frame.done === true) return undefined;
    this.#cameMs = performance.now();
    if (frame.value.type !== FRAME.group) return frame.value;
    await this.#group(frameJson<GivenGroup>(frame.value));
    return 'group';
  }

  async #group(head: GivenGroup): Promise<void> {
    const { frames, given, window } = this.#options;
    const gives = this.#checkGives(head);
    rawBytesOf(head.chunks);
    const bytes = gives.reduce((sum, one) => sum + one.bytes, 0);
    // What is read ahead was due on the other side already.
    if (given.heldBytes + bytes > window + (GROUPS_AHEAD + 1) * GROUP_BYTES)
      throw badFrame('it gives more ahead than was asked for');
    const group = await readGroup(head, new Pieces(frames));
    this.#cameMs = performance.now();
    let raw: Uint8Array;
    try {
      raw = await openGroup(group);
    } catch {
      // Its chunks are asked for one by one, and the appliance says what is wrong where something is.
      for (const { digest } of gives) this.#bad.add(digest);
      return;
    }
    given.add(raw, await this.#sound(raw, gives));
  }

  /** Each chunk once, however many wants it answers. */
  #checkGives({ chunks, gives }: GivenGroup): GivenChunk[] {
    const { asked } = this.#options;
    if (!Array.isArray(gives) || gives.length > asked.length || !Array.isArray(chunks))
      throw badFrame('a group gives nothing that was asked for');
    const places = [0];
    for (const length of chunks) places.push((places.at(-1) as number) + length);
    const found = new Map<number, GivenChunk>();
    for (const give of gives as readonly unknown[]) {
      const [want, chunk] = Array.isArray(give) ? (give as unknown[]) : [];
      const wanted = asked[want as number];
      if (
        wanted === undefined ||
        this.#answered[want as number] === 1 ||
        chunks[chunk as number] !== wanted.bytes
      )
        throw badFrame('a group gives what was not asked for');
      this.#answered[want as number] = 1;
      const uses = (found.get(chunk as number)?.uses ?? 0) + 1;
      found.set(chunk as number, { ...wanted, at: places[chunk as number] as number, uses });
    }
    return [...found.values()];
  }

  async #sound(raw: Uint8Array, gives: readonly GivenChunk[]): Promise<GivenChunk[]> {
    const isSound = await Promise.all(
      gives.map(({ at, bytes, digest }) => isLike(raw.subarray(at, at + bytes), digest)),
    );
    return gives.filter(({ digest }, nth) => {
      if (isSound[nth] !== true) this.#bad.add(digest);
      return isSound[nth];
    });
  }
}

/** To be hashed on another thread, while files are written on this one, bytes are copied there first. */
function isLike(bytes: Uint8Array, digest: Digest): boolean | Promise<boolean> {
  if (!IS_PARALLEL || bytes.length < HASHED_ASIDE_BYTES) return digestOf(bytes) === digest;
  return crypto.subtle
    .digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)
    .then((made) => Buffer.from(made).toString('hex') === digest);
}

/** The appliance sent something else than it should have. */
export function damagedAnswer(): OverdubError {
  return new OverdubError(
    'REPOSITORY_DAMAGED',
    'The appliance sent bytes that do not match their digest, or too few of them.',
    'Repeat the restore; if it happens again, verify the repository.',
  );
}
