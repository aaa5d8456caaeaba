/** Feeds an imager: what lies on the disk already is taken from there, the rest is fetched in batches. */

import {
  type ChunkRef,
  type ContentRef,
  type ContentSource,
  type ContentStream,
  DIGESTS_LIMIT,
  type Digest,
  digestOf,
  type RandomReader,
} from '@overdub/core/agent';
import { align, type Segment } from './align.ts';
import { damagedAnswer } from './answers.ts';
import type { Answers, Fetcher, GrowingAnswers, WireSegment } from './fetch.ts';
import { Queue } from './queue.ts';

/** One request asks for about this much, bytes and contents. */
const BATCH_BYTES = 256 * 1024 * 1024;
const BATCH_CONTENTS = 4096;
/** The first whole request goes out when so many are known, or when the first is opened: it tells of later ones. */
const FIRST_CONTENTS = 2 * BATCH_CONTENTS;
/** What the next requests will ask for is told so far ahead, chunks. */
const LATER_CHUNKS = 16_384;

/** What lies at a path now. */
export interface Present {
  readonly content: ContentRef;
  readonly reader: RandomReader;
}

interface Item {
  readonly content: ContentRef;
  readonly segments: readonly Segment[];
}

export class FetchingSource implements ContentSource {
  readonly #fetcher: Fetcher;
  readonly #bases: ReadonlyMap<Digest, ContentRef>;
  /** Announced, and not asked for yet. */
  readonly #queue = new Queue<Item>();
  /** Asked for, by the request under way. */
  readonly #batch = new Queue<Item>();
  #answers: Answers | GrowingAnswers | undefined;

  /** `bases`: for each content that will be asked for, what lies at its path now. */
  constructor(fetcher: Fetcher, bases: ReadonlyMap<Digest, ContentRef>) {
    this.#fetcher = fetcher;
    this.#bases = bases;
  }

  announce(contents: readonly ContentRef[]): void {
    for (const content of contents)
      this.#queue.push({ content, segments: align(content, this.#bases.get(content.digest)) });
    // The first ones are on their way while what else there is to do is still found out.
    if (this.#answers !== undefined && 'want' in this.#answers) this.#askMore(this.#answers);
    else if (this.#batch.length === 0 && this.#answers === undefined)
      this.#beginBatch(this.#queue.length >= FIRST_CONTENTS);
  }

  /**
   * Chunks are verified here. Of one, or where they simply come one behind another, that is all there is to verify; what is put
   * together from pieces of the disk as well is hashed by the imager before it replaces a file.
   */
  open(content: ContentRef, present?: Present): ContentStream {
    const atHand = this.#atHand(content);
    if (atHand !== undefined) return { verified: true, atHand, [Symbol.asyncIterator]: () => once(atHand) };
    const bytes = this.#bytesOf(content, present);
    const [only] = content.chunks;
    const isOne = content.chunks.length === 1 && only?.digest === content.digest;
    const verified = isOne || (present === undefined && !this.#bases.has(content.digest));
    return { verified, [Symbol.asyncIterator]: () => bytes };
  }

  /** The only chunk of a small file, where that is next and its chunk has come: most files of a tree are such. */
  #atHand(content: ContentRef): Uint8Array | undefined {
    const item = this.#batch.first;
    if (item?.content.digest !== content.digest || item.segments.length !== 1) return undefined;
    const [segment] = item.segments;
    if (segment?.kind !== 'raw' || segment.chunks.length !== 1) return undefined;
    const [chunk] = segment.chunks;
    if (chunk?.digest !== content.digest) return undefined;
    const bytes = this.#answers?.atHand(chunk);
    if (bytes !== undefined) this.#batch.shift();
    return bytes;
  }

  async *#bytesOf(content: ContentRef, present: Present | undefined): AsyncGenerator<Uint8Array> {
    const item = await this.#find(content);
    yield* item === undefined ? this.#alone(content, present) : this.#batched(item, present);
  }

  async close(): Promise<void> {
    this.#batch.clear();
    await this.#answers?.close();
    this.#answers = undefined;
  }

  /** The item of this content in the running batch, what comes before it skipped; undefined when not announced. */
  async #find(content: ContentRef): Promise<Item | undefined> {
    const isAmong = (items: Queue<Item>) => {
      for (const item of items) if (item.content.digest === content.digest) return true;
      return false;
    };
    for (;;) {
      if (isAmong(this.#batch)) {
        for (let item = this.#batch.shift(); item !== undefined; item = this.#batch.shift()) {
          if (item.content.digest === content.digest) return item;
          await this.#skip(item);
        }
      }
      if (!isAmong(this.#queue)) return undefined;
      await this.#nextBatch();
    }
  }

  async #nextBatch(): Promise<void> {
    await this.close();
    this.#beginBatch();
  }

  /** `isDue`: also by a request that is whole. */
  #beginBatch(isDue = true): void {
    const first = this.#queue.first?.content.chunks.length ?? 0;
    // What lies here already is asked for in parts, and as deltas: by requests that are whole, as a file of more chunks than one takes.
    const growing = this.#bases.size === 0 && first <= DIGESTS_LIMIT ? this.#fetcher.along() : undefined;
    if (growing !== undefined) this.#askMore(growing);
    else if (isDue) this.#askBatch();
  }

  #askBatch(): void {
    let bytes = 0;
    const wire: WireSegment[] = [];
    while (this.#queue.length > 0 && bytes < BATCH_BYTES && this.#batch.length < BATCH_CONTENTS) {
      const item = this.#queue.shift() as Item;
      bytes += item.content.bytes;
      this.#batch.push(item);
      wire.push(...item.segments.filter(isWire));
    }
    if (wire.length > 0) this.#answers = this.#fetcher.ask(wire, this.#later());
  }

  #askMore(growing: GrowingAnswers): void {
    this.#answers = growing;
    for (let item = this.#queue.first; item !== undefined; item = this.#queue.first) {
      if (!growing.want(item.content.chunks)) break;
      this.#batch.push(item);
      this.#queue.shift();
    }
    growing.send();
  }

  #later(): readonly ChunkRef[] {
    const chunks: ChunkRef[] = [];
    for (const { segments } of this.#queue) {
      if (chunks.length >= LATER_CHUNKS) break;
      for (const segment of segments) if (segment.kind === 'raw') chunks.push(...segment.chunks);
    }
    return chunks;
  }

  async #skip(item: Item): Promise<void> {
    for (const segment of item.segments.filter(isWire)) {
      if (segment.kind === 'delta') await this.#answers?.delta(segment, undefined);
      else for (const chunk of segment.chunks) await this.#answers?.chunk(chunk);
    }
  }

  async *#batched(item: Item, present: Present | undefined): AsyncGenerator<Uint8Array> {
    const base = this.#bases.get(item.content.digest);
    // Another file than the one the batch was planned with: its bytes are no base.
    const usable =
      present !== undefined && present.content.digest === base?.digest ? present.reader : undefined;
    for (const segment of item.segments) {
      if (segment.kind === 'local') {
        yield await this.#local(segment.chunk, usable, segment.offset);
      } else if (segment.kind === 'delta') {
        const made = await this.#answers?.delta(segment, usable);
        yield* made ?? this.#otherwise(segment, usable);
      } else {
        for (const chunk of segment.chunks) yield await (this.#answers as Answers).chunk(chunk);
      }
    }
  }

  async *#alone(content: ContentRef, present: Present | undefined): AsyncGenerator<Uint8Array> {
    for (const segment of align(content, present?.content)) {
      if (segment.kind === 'local') yield await this.#local(segment.chunk, present?.reader, segment.offset);
      else yield* this.#otherwise(segment, present?.reader);
    }
  }

  async *#otherwise(segment: WireSegment, reader: RandomReader | undefined): AsyncGenerator<Uint8Array> {
    const delta =
      segment.kind === 'delta' && reader !== undefined
        ? await this.#fetcher.against(segment, reader)
        : undefined;
    yield* delta ?? this.#fetcher.raw(segment.chunks);
  }

  /** A chunk from the disk, if it still holds it. */
  async #local(chunk: ChunkRef, reader: RandomReader | undefined, offset: number): Promise<Uint8Array> {
    const bytes = await reader?.read(offset, chunk.bytes);
    if (bytes !== undefined && bytes.length === chunk.bytes && digestOf(bytes) === chunk.digest) return bytes;
    for await (const whole of this.#fetcher.raw([chunk])) return whole;
    throw damagedAnswer();
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function isWire(segment: Segment): segment is WireSegment {
  return segment.kind !== 'local';
}
