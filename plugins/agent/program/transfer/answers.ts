/** Answers of a fetch as they come: chunks, deltas and groups, checked and read ahead. */

import { availableParallelism } from 'node:os';
import {
  ahead,
  badFrame,
  type ChunkRef,
  type Digest,
  digestOf,
  FRAME,
  type Frame,
  frameJson,
  type GivenGroup,
  GROUP_BYTES,
  heardLater,
  OverdubError,
  openGroup,
  Pieces,
  rawBytesOf,
  readGroup,
  type TravelledGroup,
} from '@overdub/core/agent';
import type { GivenChunk, GivenChunks } from './given-chunks.ts';

/** Answers under way behind the one that is asked for: while files are written, one is decoded and hashed and one received. */
const AHEAD = 2;
/**
 * Groups besides those: the one whose chunks are being taken, which the appliance may count as taken, and one of slack. Of each that is
 * opened its stored bytes lie here as well, no more than it makes.
 */
const MORE_GROUPS = 2;

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
  /** Is one answer ahead all there is room for? */
  readonly frugally: boolean;
}

/** An answer that has come, and is being opened. */
interface Received {
  readonly answer: Promise<Answer>;
  readonly cameMs: number;
}

/** A group that has come, and what it gives. */
interface CameGroup {
  readonly group: TravelledGroup;
  readonly gives: readonly GivenChunk[];
}

/** Reads answers ahead. Everything a group announces is checked before anything is allocated for it. */
export class AnswerReader {
  readonly #options: AnswersOptions;
  readonly #answered: Uint8Array;
  readonly #bad = new Set<Digest>();
  readonly #sinceMs = performance.now();
  readonly #answers: AsyncGenerator<Received>;
  readonly #opening = new Set<Promise<unknown>>();
  /** Of chunks that are kept and groups that are opened, bytes: what was here before, what was asked for, what is read ahead. */
  readonly #mostBytes: number;
  #openingBytes = 0;
  #isClosed = false;
  #waitedMs = 0;
  #next: Promise<IteratorResult<Received>>;

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#answered = new Uint8Array(options.asked.length);
    const depth = options.frugally ? 1 : AHEAD;
    this.#mostBytes = options.given.heldBytes + options.window + (depth + MORE_GROUPS) * GROUP_BYTES;
    // One is waited for here already.
    this.#answers = depth === 1 ? this.#received() : ahead(this.#received(), depth - 1);
    this.#next = heardLater(this.#answers.next());
  }

  /** The next answer. REPOSITORY_DAMAGED when there are no more; INPUT_INVALID when one is malformed. */
  async next(): Promise<Answer> {
    const fromMs = performance.now();
    const next = await this.#next;
    if (next.done === true) throw damagedAnswer();
    this.#next = heardLater(this.#answers.next());
    this.#waitedMs += Math.max(0, next.value.cameMs - fromMs);
    return await next.value.answer;
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
    this.#isClosed = true;
    await this.#next.catch(() => undefined);
    await this.#answers.return(undefined);
    await this.#options.frames.return(undefined);
    // What is opened is laid down before anybody counts what is there.
    await Promise.allSettled(this.#opening);
  }

  async *#received(): AsyncGenerator<Received> {
    for await (const frame of this.#options.frames) {
      const isGroup = frame.type === FRAME.group;
      const came = isGroup ? await this.#group(frameJson<GivenGroup>(frame)) : undefined;
      const cameMs = performance.now();
      const answer = came === undefined ? Promise.resolve(frame) : this.#opened(came);
      // Else the next one came while this one is opened.
      if (this.#options.frugally) await answer;
      yield { answer, cameMs };
      if (this.#isClosed) return;
    }
  }

  async #group(head: GivenGroup): Promise<CameGroup> {
    const { frames, given } = this.#options;
    const gives = this.#checkGives(head);
    if (given.heldBytes + this.#openingBytes + rawBytesOf(head.chunks) > this.#mostBytes)
      throw badFrame('it gives more ahead than was asked for');
    return { group: await readGroup(head, new Pieces(frames)), gives };
  }

  #opened(came: CameGroup): Promise<Answer> {
    const opening = heardLater(this.#open(came).finally(() => this.#opening.delete(opening)));
    this.#opening.add(opening);
    return opening;
  }

  async #open(came: CameGroup): Promise<Answer> {
    const bytes = rawBytesOf(came.group.lengths);
    this.#openingBytes += bytes;
    const raw = await this.#decoded(came).finally(() => {
      this.#openingBytes -= bytes;
    });
    if (raw !== undefined) this.#options.given.add(raw.bytes, raw.sound);
    return 'group';
  }

  /** What the group makes, and which of its chunks are what they should be; undefined where it makes nothing. */
  async #decoded({ group, gives }: CameGroup) {
    let bytes: Uint8Array;
    try {
      bytes = await openGroup(group);
    } catch {
      // Its chunks are asked for one by one, and the appliance says what is wrong where something is.
      for (const { digest } of gives) this.#bad.add(digest);
      return undefined;
    }
    return { bytes, sound: await this.#sound(bytes, gives) };
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
