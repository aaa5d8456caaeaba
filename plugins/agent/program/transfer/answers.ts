/** Answers of a fetch in their order: what they give is compared with what was asked for, and laid down. */

import {
  badFrame,
  type ChunkRef,
  type Digest,
  type Frame,
  GROUP_BYTES,
  heardLater,
  OverdubError,
  rawBytesOf,
} from '@overdub/core/agent';
import { nowMs, type OpenedAnswer, type OpenedGroup, placesOf } from '../receiver/opened-answers.ts';
import type { GivenChunk, GivenChunks } from './given-chunks.ts';

/**
 * Groups besides what the appliance was told there is room for: the one whose chunks are being taken, which it may count as taken, the
 * next, and one of slack.
 */
const MORE_GROUPS = 3;

/** A frame that answers something, or word that a group was laid down. */
export type Answer = Frame | 'group';

export interface AnswersOptions {
  readonly opened: AsyncGenerator<OpenedAnswer>;
  /** The chunks asked for, in the order of the request. */
  readonly asked: readonly ChunkRef[];
  readonly given: GivenChunks;
  /** As the head of the request said. */
  readonly window: number;
}

/** Reads one answer ahead. */
export class AnswerReader {
  readonly #options: AnswersOptions;
  readonly #answered: Uint8Array;
  readonly #bad = new Set<Digest>();
  readonly #sinceMs = nowMs();
  /** Of chunks that are kept, bytes: what was here before, what was asked for, what is read ahead. */
  readonly #mostBytes: number;
  #waitedMs = 0;
  #next: Promise<IteratorResult<OpenedAnswer>>;

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#answered = new Uint8Array(options.asked.length);
    this.#mostBytes = options.given.heldBytes + options.window + MORE_GROUPS * GROUP_BYTES;
    this.#next = heardLater(options.opened.next());
  }

  /** The next answer. REPOSITORY_DAMAGED when there are no more; INPUT_INVALID when one is malformed. */
  async next(): Promise<Answer> {
    const fromMs = nowMs();
    const next = await this.#next;
    if (next.done === true) throw damagedAnswer();
    this.#next = heardLater(this.#options.opened.next());
    this.#waitedMs += Math.max(0, next.value.cameMs - fromMs);
    if ('frame' in next.value) return next.value.frame;
    this.#lay(next.value.group);
    return 'group';
  }

  /** Did this chunk come in a group that was damaged? */
  isBad(digest: Digest): boolean {
    return this.#bad.has(digest);
  }

  /** Of the time until now, the part that was spent waiting for what had not come yet: 0 to 1. */
  get waited(): number {
    return Math.min(1, this.#waitedMs / Math.max(1, nowMs() - this.#sinceMs));
  }

  async close(): Promise<void> {
    await this.#next.catch(() => undefined);
    await this.#options.opened.return(undefined);
  }

  #lay({ head, raw, digests }: OpenedGroup): void {
    const { given } = this.#options;
    const gives = this.#checkGives(head);
    if (given.heldBytes + rawBytesOf(head.chunks) > this.#mostBytes)
      throw badFrame('it gives more ahead than was asked for');
    const sound = [...gives].flatMap(([chunk, give]) => {
      if (raw !== undefined && digests[chunk] === give.digest) return [give];
      this.#bad.add(give.digest);
      return [];
    });
    if (raw !== undefined) given.add(raw, sound);
  }

  /** Of each chunk that it gives, once, however many wants it answers. */
  #checkGives({ chunks, gives }: OpenedGroup['head']): Map<number, GivenChunk> {
    const { asked } = this.#options;
    const places = placesOf(chunks);
    const found = new Map<number, GivenChunk>();
    for (const [want, chunk] of gives) {
      const wanted = asked[want];
      if (wanted === undefined || this.#answered[want] === 1 || chunks[chunk] !== wanted.bytes)
        throw badFrame('a group gives what was not asked for');
      this.#answered[want] = 1;
      const uses = (found.get(chunk)?.uses ?? 0) + 1;
      found.set(chunk, { ...wanted, at: places[chunk] as number, uses });
    }
    return found;
  }
}

/** The appliance sent something else than it should have. */
export function damagedAnswer(): OverdubError {
  return new OverdubError(
    'REPOSITORY_DAMAGED',
    'The appliance sent bytes that do not match their digest, or too few of them.',
    'Repeat the restore; if it happens again, verify the repository.',
  );
}
