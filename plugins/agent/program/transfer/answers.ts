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

/** An answer that has come, and is opened. */
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
  /** Answers that may lie here while the appliance counts them as taken. */
  readonly #depth: number;
  #openingBytes = 0;
  #waitedMs = 0;
  #next: Promise<IteratorResult<Received>>;

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#answered = new Uint8Array(options.asked.length);
    this.#depth = options.frugally ? 1 : AHEAD;
    // One is waited for here already.
    this.#answers = options.frugally ? this.#received() : ahead(this.#received(), AHEAD - 1);
    this.#next = this.#begin();
  }

  /** The next answer. REPOSITORY_DAMAGED when there are no more; INPUT_INVALID when one is malformed. */
  async next(): Promise<Answer> {
    const fromMs = performance.now();
    const next = await this.#next;
    if (next.done === true) throw damagedAnswer();
    this.#next = this.#begin();
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
    await this.#next.catch(() => undefined);
    await this.#answers.return(undefined);
    await this.#options.frames.return(undefined);
    // What is opened is laid down before anybody counts what is there.
    await Promise.allSettled(this.#opening);
  }

  #begin(): Promise<IteratorResult<Received>> {
    const next = this.#answers.next();
    // Whoever asks for it hears of a failure; until then it is not unhandled.
    next.catch(() => undefined);
    return next;
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
    }
  }

  async #group(head: GivenGroup): Promise<CameGroup> {
    const { frames, given, window } = this.#options;
    const gives = this.#checkGives(head);
    const bytes = this.#openingBytes + rawBytesOf(head.chunks);
    // What is read ahead was due on the other side already, and so was what lay here while it came.
    if (given.heldBytes + bytes > window + (this.#depth + 2) * GROUP_BYTES)
      throw badFrame('it gives more ahead than was asked for');
    return { group: await readGroup(head, new Pieces(frames)), gives };
  }

  #opened(came: CameGroup): Promise<Answer> {
    const bytes = rawBytesOf(came.group.lengths);
    this.#openingBytes += bytes;
    const opening = this.#open(came).finally(() => {
      this.#openingBytes -= bytes;
      this.#opening.delete(opening);
    });
    this.#opening.add(opening);
    // Whoever asks for it hears of a failure; until then it is not unhandled.
    opening.catch(() => undefined);
    return opening;
  }

  async #open({ group, gives }: CameGroup): Promise<Answer> {
    let raw: Uint8Array;
    try {
      raw = await openGroup(group);
    } catch {
      // Its chunks are asked for one by one, and the appliance says what is wrong where something is.
      for (const { digest } of gives) this.#bad.add(digest);
      return 'group';
    }
    this.#options.given.add(raw, await this.#sound(raw, gives));
    return 'group';
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
