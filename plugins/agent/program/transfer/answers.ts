/** Answers of a fetch in their order: what they give is compared with what was asked for, and laid down. */

import {
  badFrame,
  type ChunkRef,
  type Digest,
  type Frame,
  GROUP_BYTES,
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
  /** The chunks asked for, in the order of the request, which may go on. */
  readonly asked: readonly ChunkRef[];
  /** As many as they may become. */
  readonly most: number;
  readonly given: GivenChunks;
  /** As the head of the request said. */
  readonly window: number;
  /** Told that an answer is waited for that has not come yet; what it returns, that this is over. */
  readonly onWait?: () => () => void;
}

/** Reads one answer ahead. */
export class AnswerReader {
  readonly #options: AnswersOptions;
  readonly #answered: Uint8Array;
  #answeredCount = 0;
  /** How many wants of a chunk were answered by a damaged group. */
  readonly #bad = new Map<Digest, number>();
  #sinceMs = nowMs();
  /** Of chunks that are kept, bytes: what was here before, what was asked for, what is read ahead. */
  readonly #mostBytes: number;
  #waitedMs = 0;
  #hasCome = false;
  #next: Promise<IteratorResult<OpenedAnswer>>;

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#answered = new Uint8Array(options.most);
    this.#mostBytes = options.given.heldBytes + options.window + MORE_GROUPS * GROUP_BYTES;
    this.#next = this.#ask();
  }

  #ask(): Promise<IteratorResult<OpenedAnswer>> {
    this.#hasCome = false;
    const come = () => {
      this.#hasCome = true;
    };
    const next = this.#options.opened.next();
    next.then(come, come);
    return next;
  }

  /** The next answer. REPOSITORY_DAMAGED when there are no more; INPUT_INVALID when one is malformed. */
  async next(): Promise<Answer> {
    const fromMs = nowMs();
    const onOver = this.#hasCome ? undefined : this.#options.onWait?.();
    const next = await this.#next.finally(onOver);
    if (next.done === true) throw damagedAnswer();
    this.#next = this.#ask();
    this.#waitedMs += Math.max(0, next.value.cameMs - fromMs);
    if ('frame' in next.value) return next.value.frame;
    this.#lay(next.value.group);
    return 'group';
  }

  /** Did this chunk come in a group that was damaged? Then it is had elsewhere: once for each time that it was wanted. */
  takeBad(digest: Digest): boolean {
    const times = this.#bad.get(digest) ?? 0;
    if (times > 1) this.#bad.set(digest, times - 1);
    else this.#bad.delete(digest);
    return times > 0;
  }

  /** Is all answered that was asked for until now? */
  get isWhole(): boolean {
    return this.#answeredCount === this.#options.asked.length;
  }

  /** Of the time since this was last asked for, the part that was spent waiting for what had not come yet: 0 to 1. */
  takeWaited(): number {
    const part = Math.min(1, this.#waitedMs / Math.max(1, nowMs() - this.#sinceMs));
    this.#sinceMs = nowMs();
    this.#waitedMs = 0;
    return part;
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
      this.#bad.set(give.digest, (this.#bad.get(give.digest) ?? 0) + give.uses);
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
      this.#answeredCount += 1;
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
