/** Fetches parts of contents: one request for many, answers in the order asked for. */

import {
  type ChunkRef,
  type DeltaCodec,
  DIGESTS_LIMIT,
  digestOf,
  encodeFrame,
  type FetchedDelta,
  FRAME,
  type Frame,
  frameJson,
  type ManifestRef,
  OverdubError,
  packDigests,
  type RandomReader,
  type ReadHead,
  requestFrames,
} from '@overdub/core/agent';
import type { Appliance } from '../link/appliance.ts';
import type { Segment } from './align.ts';
import { readPieces } from './read-file.ts';

/** Below this a delta from a signature costs more trips than it saves bytes. */
const SIGNATURE_MIN_BYTES = 64 * 1024;
const SIGNATURE_BLOCK_BYTES = 512;

export interface FetcherOptions {
  readonly appliance: Appliance;
  readonly image: ManifestRef;
  readonly server: string;
  readonly codecs: readonly DeltaCodec[];
  readonly signal: AbortSignal;
}

/** What a wire segment needs; local ones need nothing. */
export type WireSegment = Exclude<Segment, { kind: 'local' }>;

/** One running request. `take` must be called for each segment, in the order asked for. */
export interface Answers {
  /**
   * Chunks of the segment, or undefined when its base was not usable. Each is verified, but for one that came as it
   * is and that `whole` says is a content by itself: its reader checks that digest anyway.
   */
  take(
    segment: WireSegment,
    base: RandomReader | undefined,
    whole?: boolean,
  ): Promise<Uint8Array[] | undefined>;
  close(): Promise<void>;
}

export class Fetcher {
  readonly #options: FetcherOptions;

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  ask(segments: readonly WireSegment[]): Answers {
    const { appliance, signal } = this.#options;
    const frames = appliance.read('fetch', () => requestFrames(this.#head(), wants(segments)), signal);
    return {
      take: (segment, base, whole = false) => this.#take(frames, segment, base, whole),
      close: async () => void (await frames.return(undefined)),
    };
  }

  /** The chunks themselves, whatever it costs. */
  async raw(chunks: readonly ChunkRef[]): Promise<Uint8Array[]> {
    const segment: WireSegment = { kind: 'raw', chunks };
    const answers = this.ask([segment]);
    try {
      const got = await answers.take(segment, undefined);
      if (got === undefined) throw damaged();
      return got;
    } finally {
      await answers.close();
    }
  }

  /** A delta made on the appliance from a signature of what is here; undefined when it cannot be had. */
  async against(
    segment: Extract<Segment, { kind: 'delta' }>,
    present: RandomReader,
  ): Promise<Uint8Array[] | undefined> {
    const codec = this.#options.codecs.find((one) => one.signatures !== undefined);
    const targetBytes = sum(segment.chunks);
    if (codec?.signatures === undefined || targetBytes < SIGNATURE_MIN_BYTES) return undefined;
    const base = windowOf(present, segment.baseOffset, sum(segment.base));
    const { appliance, signal } = this.#options;
    const body = () => requestFrames(this.#head(codec.name), signatureFrames(codec, segment, base, signal));
    const frames = appliance.read('fetch-against', body, signal);
    try {
      const delta = codec.signatures.patch(base, pieces(frames), { targetBytes, signal });
      return await split(delta, segment.chunks);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof OverdubError && error.code !== 'DELTA_INVALID') throw error;
      return undefined;
    } finally {
      await frames.return(undefined);
    }
  }

  #head(codec?: string): ReadHead {
    const { image, server, codecs } = this.#options;
    return { image, server, codecs: codec === undefined ? codecs.map((one) => one.name) : [codec] };
  }

  async #take(
    frames: AsyncGenerator<Frame>,
    segment: WireSegment,
    base: RandomReader | undefined,
    whole: boolean,
  ): Promise<Uint8Array[] | undefined> {
    const first = await next(frames);
    if (first.type === FRAME.unknownBase) return undefined;
    if (first.type === FRAME.delta) {
      const delta = await next(frames);
      return segment.kind === 'delta' && base !== undefined
        ? await this.#decode(frameJson(first), delta.payload, segment, base)
        : undefined;
    }
    if (whole) return [first.payload];
    const chunks = [verified(first.payload, segment.chunks[0])];
    for (const chunk of segment.chunks.slice(1)) chunks.push(verified((await next(frames)).payload, chunk));
    return chunks;
  }

  /** Undefined when the file no longer holds the bytes that the delta was made against. */
  async #decode(
    head: FetchedDelta,
    delta: Uint8Array,
    segment: Extract<Segment, { kind: 'delta' }>,
    base: RandomReader,
  ): Promise<Uint8Array[] | undefined> {
    const codec = this.#options.codecs.find((one) => one.name === head.codec);
    if (codec === undefined) return undefined;
    const options = {
      targetBytes: sum(segment.chunks),
      formatVersion: head.version,
      signal: this.#options.signal,
    };
    try {
      const bytes = await codec.decode(await readAll(base, segment), delta, options);
      return await split(once(bytes), segment.chunks);
    } catch {
      // The bytes are fetched whole instead; the digest of every chunk is checked either way.
      this.#options.signal.throwIfAborted();
      return undefined;
    }
  }
}

/** Raw segments behind one another are asked for in one: their number is bounded, that of their chunks is not. */
function* wants(segments: readonly WireSegment[]): Generator<Uint8Array> {
  let raw: ChunkRef[] = [];
  for (const segment of segments) {
    if (segment.kind === 'raw') {
      for (const chunk of segment.chunks) raw.push(chunk);
      continue;
    }
    yield* rawWants(raw);
    raw = [];
    const counts = Buffer.alloc(4);
    counts.writeUInt16LE(segment.chunks.length, 0);
    counts.writeUInt16LE(segment.base.length, 2);
    yield* encodeFrame(FRAME.want, Buffer.concat([counts, digests(segment.chunks), digests(segment.base)]));
  }
  yield* rawWants(raw);
}

function* rawWants(chunks: readonly ChunkRef[]): Generator<Uint8Array> {
  for (let from = 0; from < chunks.length; from += DIGESTS_LIMIT) {
    yield* encodeFrame(FRAME.digests, digests(chunks.slice(from, from + DIGESTS_LIMIT)));
  }
}

async function* signatureFrames(
  codec: DeltaCodec,
  segment: Extract<Segment, { kind: 'delta' }>,
  base: RandomReader,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  yield* encodeFrame(FRAME.digests, digests(segment.chunks));
  const options = { sourceBytes: base.bytes, blockBytes: SIGNATURE_BLOCK_BYTES, signal };
  const signature = codec.signatures?.sign(readPieces(base, signal), options) ?? [];
  for await (const piece of signature) yield* encodeFrame(FRAME.piece, piece);
  yield* encodeFrame(FRAME.piecesEnd);
  yield* encodeFrame(FRAME.delta, JSON.stringify({ baseBytes: base.bytes }));
}

async function* pieces(frames: AsyncGenerator<Frame>): AsyncGenerator<Uint8Array> {
  for await (const frame of frames) if (frame.type === FRAME.piece) yield frame.payload;
}

/** Slices by the chunks' lengths and checks each. Throws when bytes and chunks disagree. */
async function split(source: AsyncIterable<Uint8Array>, chunks: readonly ChunkRef[]): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const piece of source) parts.push(piece);
  const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  let offset = 0;
  return chunks.map((chunk) => {
    const slice = bytes.subarray(offset, offset + chunk.bytes);
    offset += chunk.bytes;
    return verified(slice, chunk);
  });
}

function verified(bytes: Uint8Array, chunk: ChunkRef | undefined): Uint8Array {
  if (chunk === undefined || bytes.length !== chunk.bytes || digestOf(bytes) !== chunk.digest)
    throw damaged();
  return bytes;
}

async function readAll(
  base: RandomReader,
  segment: Extract<Segment, { kind: 'delta' }>,
): Promise<Uint8Array> {
  return await base.read(segment.baseOffset, sum(segment.base));
}

function windowOf(reader: RandomReader, offset: number, bytes: number): RandomReader {
  return {
    bytes,
    read: (at, length) => reader.read(offset + at, Math.max(0, Math.min(length, bytes - at))),
  };
}

async function next(frames: AsyncGenerator<Frame>): Promise<Frame> {
  const frame = await frames.next();
  if (frame.done === true) throw damaged();
  return frame.value;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function digests(chunks: readonly ChunkRef[]): Buffer {
  return packDigests(chunks.map((chunk) => chunk.digest));
}

function sum(chunks: readonly ChunkRef[]): number {
  return chunks.reduce((total, chunk) => total + chunk.bytes, 0);
}

function damaged(): OverdubError {
  return new OverdubError(
    'REPOSITORY_DAMAGED',
    'The appliance sent bytes that do not match their digest, or too few of them.',
    'Repeat the restore; if it happens again, verify the repository.',
  );
}
