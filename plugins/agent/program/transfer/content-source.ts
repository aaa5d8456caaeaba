/** Feeds an imager: what lies on the disk already is taken from there, the rest is fetched in batches. */

import {
  type ChunkRef,
  type ContentRef,
  type ContentSource,
  type Digest,
  digestOf,
  type RandomReader,
} from '@overdub/core/agent';
import { align, type Segment } from './align.ts';
import type { Answers, Fetcher, WireSegment } from './fetch.ts';

/** One request asks for about this much, bytes and contents. */
const BATCH_BYTES = 64 * 1024 * 1024;
const BATCH_CONTENTS = 4096;

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
  readonly #queue: ContentRef[] = [];
  #batch: Item[] = [];
  #answers: Answers | undefined;

  /** `bases`: for each content that will be asked for, what lies at its path now. */
  constructor(fetcher: Fetcher, bases: ReadonlyMap<Digest, ContentRef>) {
    this.#fetcher = fetcher;
    this.#bases = bases;
  }

  announce(contents: readonly ContentRef[]): void {
    this.#queue.push(...contents);
  }

  /** Chunks are verified here, the whole by the imager before it replaces a file: nothing is hashed a third time. */
  async *open(content: ContentRef, present?: Present): AsyncGenerator<Uint8Array> {
    const item = await this.#find(content);
    yield* item === undefined ? this.#alone(content, present) : this.#batched(item, present);
  }

  async close(): Promise<void> {
    this.#batch = [];
    await this.#answers?.close();
    this.#answers = undefined;
  }

  /** The item of this content in the running batch, what comes before it skipped; undefined when not announced. */
  async #find(content: ContentRef): Promise<Item | undefined> {
    for (;;) {
      const at = this.#batch.findIndex((item) => item.content.digest === content.digest);
      if (at !== -1) {
        for (const skipped of this.#batch.splice(0, at)) await this.#skip(skipped);
        return this.#batch.shift();
      }
      if (!this.#queue.some((waiting) => waiting.digest === content.digest)) return undefined;
      await this.#nextBatch();
    }
  }

  async #nextBatch(): Promise<void> {
    await this.close();
    let bytes = 0;
    while (this.#queue.length > 0 && bytes < BATCH_BYTES && this.#batch.length < BATCH_CONTENTS) {
      const content = this.#queue.shift() as ContentRef;
      bytes += content.bytes;
      this.#batch.push({ content, segments: align(content, this.#bases.get(content.digest)) });
    }
    const wire = this.#batch.flatMap((item) => item.segments.filter(isWire));
    if (wire.length > 0) this.#answers = this.#fetcher.ask(wire);
  }

  async #skip(item: Item): Promise<void> {
    for (const segment of item.segments.filter(isWire)) await this.#answers?.take(segment, undefined);
  }

  async *#batched(item: Item, present: Present | undefined): AsyncGenerator<Uint8Array> {
    const base = this.#bases.get(item.content.digest);
    // Another file than the one the batch was planned with: its bytes are no base.
    const usable =
      present !== undefined && present.content.digest === base?.digest ? present.reader : undefined;
    for (const segment of item.segments) {
      if (segment.kind === 'local') {
        yield await this.#local(segment.chunk, usable, segment.offset);
        continue;
      }
      const got = await this.#answers?.take(segment, usable, item.content.chunks.length === 1);
      yield* got ?? (await this.#otherwise(segment, usable));
    }
  }

  async *#alone(content: ContentRef, present: Present | undefined): AsyncGenerator<Uint8Array> {
    for (const segment of align(content, present?.content)) {
      if (segment.kind === 'local') yield await this.#local(segment.chunk, present?.reader, segment.offset);
      else yield* await this.#otherwise(segment, present?.reader);
    }
  }

  async #otherwise(segment: WireSegment, reader: RandomReader | undefined): Promise<Uint8Array[]> {
    const delta =
      segment.kind === 'delta' && reader !== undefined
        ? await this.#fetcher.against(segment, reader)
        : undefined;
    return delta ?? (await this.#fetcher.raw(segment.chunks));
  }

  /** A chunk from the disk, if it still holds it. */
  async #local(chunk: ChunkRef, reader: RandomReader | undefined, offset: number): Promise<Uint8Array> {
    const bytes = await reader?.read(offset, chunk.bytes);
    if (bytes !== undefined && bytes.length === chunk.bytes && digestOf(bytes) === chunk.digest) return bytes;
    return (await this.#fetcher.raw([chunk]))[0] as Uint8Array;
  }
}

function isWire(segment: Segment): segment is WireSegment {
  return segment.kind !== 'local';
}
