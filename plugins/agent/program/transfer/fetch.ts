/** Fetches parts of contents: one request for many, answers in the order asked for. */

import {
  type ChunkRef,
  type DeltaCodec,
  DIGESTS_LIMIT,
  type Digest,
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
import type { Receiver } from '../receiver/receiver.ts';
import type { Segment } from './align.ts';
import { AnswerReader, damagedAnswer } from './answers.ts';
import { type Asking, AskingAlong } from './asking-along.ts';
import { GivenChunks } from './given-chunks.ts';
import { readPieces } from './read-file.ts';

/** Below this a delta from a signature costs more trips than it saves bytes. */
const SIGNATURE_MIN_BYTES = 64 * 1024;
const SIGNATURE_BLOCK_BYTES = 512;
/** Of groups, what is kept before its turn; twice that in memory at most. */
const WINDOW_BYTES = 64 * 1024 * 1024;

/** Of groups of which some is taken, what may be kept for nothing where memory is not short. */
const WASTE_BYTES = 32 * 1024 * 1024;

export interface FetcherOptions {
  readonly appliance: Appliance;
  readonly image: ManifestRef;
  readonly server: string;
  readonly codecs: readonly DeltaCodec[];
  readonly signal: AbortSignal;
  /** Who receives what comes in groups, where not this thread does. */
  readonly receiver?: Receiver | undefined;
}

/** What a wire segment needs; local ones need nothing. */
export type WireSegment = Exclude<Segment, { kind: 'local' }>;
export type DeltaSegment = Extract<Segment, { kind: 'delta' }>;

/** One running request. What was asked for must be taken in that order. */
export interface Answers {
  /** A chunk's verified bytes, good until the next call. */
  chunk(chunk: ChunkRef): Promise<Uint8Array>;
  /** The same, if they came along with another; undefined when they have to be waited for. */
  atHand(chunk: ChunkRef): Uint8Array | undefined;
  /** The verified chunks of a delta segment, or undefined when its base was not usable. */
  delta(segment: DeltaSegment, base: RandomReader | undefined): Promise<Uint8Array[] | undefined>;
  close(): Promise<void>;
}

/** One that more may be asked of. */
export interface GrowingAnswers extends Answers, Asking {}

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #given: GivenChunks;
  /** As the last answer was: the appliance compresses where the line is waited for. */
  #waited: number | undefined;
  /** Was a request that goes on kept back by somebody on its way? */
  #isKeptBack = false;

  constructor(options: FetcherOptions) {
    this.#options = options;
    this.#given = new GivenChunks(options.receiver === undefined ? 0 : WASTE_BYTES);
  }

  /**
   * Asks for these segments; `later` are chunks that the next requests will ask for, which may come along. One request at a
   * time: the one before it is closed.
   */
  ask(segments: readonly WireSegment[], later: readonly ChunkRef[] = []): Answers {
    const { appliance, signal } = this.#options;
    if (!appliance.takesGroups) return this.#open(segments, [], undefined);
    const given = this.#given;
    const missing = this.#claim(segments, later);
    const window = Math.max(0, WINDOW_BYTES - given.heldBytes);
    signal.throwIfAborted();
    return this.#open(missing.segments, missing.later, window);
  }

  /** Sorts out what came along with earlier answers, and lets go of what nobody will take. */
  #claim(segments: readonly WireSegment[], later: readonly ChunkRef[]) {
    const uses = new Map<Digest, number>();
    const isHere = ({ digest }: ChunkRef): boolean => {
      if (!this.#given.has(digest)) return false;
      uses.set(digest, (uses.get(digest) ?? 0) + 1);
      return true;
    };
    const missing = segments.map((segment) =>
      segment.kind === 'raw'
        ? { ...segment, chunks: segment.chunks.filter((chunk) => !isHere(chunk)) }
        : segment,
    );
    const missingLater = later.filter((chunk) => !isHere(chunk));
    this.#given.keep(uses);
    return { segments: missing, later: missingLater };
  }

  #open(segments: readonly WireSegment[], later: readonly ChunkRef[], window: number | undefined): Answers {
    const { appliance, signal, receiver } = this.#options;
    const head = this.#headOf(window);
    const body = () => requestFrames(head, requested(segments, later));
    const asked = segments.flatMap((segment) => (segment.kind === 'raw' ? segment.chunks : []));
    const isAsked = segments.some(({ chunks }) => chunks.length > 0);
    const by = window === undefined ? undefined : receiver;
    const opened = isAsked ? appliance.fetch(body, by, signal) : nothing();
    const given = window === undefined ? new GivenChunks() : this.#given;
    const all = [...asked, ...later];
    const answers = new AnswerReader({ opened, asked: all, most: all.length, given, window: window ?? 0 });
    const close = () => {
      if (isAsked && window !== undefined) this.#waited = answers.takeWaited();
      return answers.close();
    };
    return this.#answersOf(answers, given, close);
  }

  #answersOf(answers: AnswerReader, given: GivenChunks, close: () => Promise<void>): Answers {
    return {
      chunk: (chunk) => this.#chunk(answers, given, chunk),
      atHand: (chunk) => given.take(chunk.digest),
      delta: (segment, base) => this.#delta(answers, segment, base),
      close,
    };
  }

  /** One request that goes on asking for chunks while it is answered, where that is possible. The one before it is closed. */
  along(): GrowingAnswers | undefined {
    const { appliance, receiver, signal } = this.#options;
    if (receiver === undefined || !appliance.takesStreams || this.#isKeptBack) return undefined;
    signal.throwIfAborted();
    const given = this.#given;
    given.keep(new Map());
    const head = { ...this.#headOf(WINDOW_BYTES), streams: true as const };
    const onKeptBack = () => {
      this.#isKeptBack = true;
    };
    const asking = new AskingAlong({
      appliance,
      receiver,
      signal,
      head,
      given,
      window: WINDOW_BYTES,
      onKeptBack,
    });
    const close = async () => {
      this.#waited = asking.answers.takeWaited();
      await asking.close();
    };
    const want = (chunks: readonly ChunkRef[]) => asking.want(chunks);
    return { ...this.#answersOf(asking.answers, given, close), want, send: () => asking.send() };
  }

  /** The chunks themselves, whatever it costs. */
  async *raw(chunks: readonly ChunkRef[]): AsyncGenerator<Uint8Array> {
    const answers = this.#open([{ kind: 'raw', chunks }], [], undefined);
    try {
      for (const chunk of chunks) yield await answers.chunk(chunk);
    } finally {
      await answers.close();
    }
  }

  async #chunk(answers: AnswerReader, given: GivenChunks, chunk: ChunkRef): Promise<Uint8Array> {
    for (;;) {
      const here = given.take(chunk.digest);
      if (here !== undefined) return here;
      if (answers.takeBad(chunk.digest)) {
        for await (const bytes of this.raw([chunk])) return bytes;
      }
      const answer = await answers.next();
      if (answer === 'group') continue;
      if (answer.type !== FRAME.chunk) throw damagedAnswer();
      return verified(answer.payload, chunk);
    }
  }

  /** A delta made on the appliance from a signature of what is here; undefined when it cannot be had. */
  async against(segment: DeltaSegment, present: RandomReader): Promise<Uint8Array[] | undefined> {
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

  /** `groupBytes`: where groups are taken, how many of them. */
  #headOf(groupBytes: number | undefined): ReadHead {
    if (groupBytes === undefined) return this.#head();
    const waited = this.#waited === undefined ? {} : { waited: this.#waited };
    return { ...this.#head(), groupBytes, ...waited };
  }

  #head(codec?: string): ReadHead {
    const { image, server, codecs } = this.#options;
    return { image, server, codecs: codec === undefined ? codecs.map((one) => one.name) : [codec] };
  }

  async #delta(
    answers: AnswerReader,
    segment: DeltaSegment,
    base: RandomReader | undefined,
  ): Promise<Uint8Array[] | undefined> {
    const first = await frameOf(answers);
    if (first.type === FRAME.unknownBase) return undefined;
    if (first.type === FRAME.delta) {
      const delta = await frameOf(answers);
      return base === undefined
        ? undefined
        : await this.#decode(frameJson(first), delta.payload, segment, base);
    }
    const chunks = [verified(first.payload, segment.chunks[0])];
    for (const chunk of segment.chunks.slice(1))
      chunks.push(verified((await frameOf(answers)).payload, chunk));
    return chunks;
  }

  /** Undefined when the file no longer holds the bytes that the delta was made against. */
  async #decode(
    head: FetchedDelta,
    delta: Uint8Array,
    segment: DeltaSegment,
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
function* requested(segments: readonly WireSegment[], later: readonly ChunkRef[]): Generator<Uint8Array> {
  let raw: ChunkRef[] = [];
  for (const segment of segments) {
    if (segment.kind === 'raw') {
      for (const chunk of segment.chunks) raw.push(chunk);
      continue;
    }
    yield* lists(FRAME.digests, raw);
    raw = [];
    yield* want(segment);
  }
  yield* lists(FRAME.digests, raw);
  yield* lists(FRAME.later, later);
}

function* want(segment: DeltaSegment): Generator<Uint8Array> {
  const counts = Buffer.alloc(4);
  counts.writeUInt16LE(segment.chunks.length, 0);
  counts.writeUInt16LE(segment.base.length, 2);
  yield* encodeFrame(FRAME.want, Buffer.concat([counts, digests(segment.chunks), digests(segment.base)]));
}

function* lists(type: number, chunks: readonly ChunkRef[]): Generator<Uint8Array> {
  for (let from = 0; from < chunks.length; from += DIGESTS_LIMIT)
    yield* encodeFrame(type, digests(chunks.slice(from, from + DIGESTS_LIMIT)));
}

async function* nothing(): AsyncGenerator<never> {}

async function* signatureFrames(
  codec: DeltaCodec,
  segment: DeltaSegment,
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
    throw damagedAnswer();
  return bytes;
}

async function readAll(base: RandomReader, segment: DeltaSegment): Promise<Uint8Array> {
  return await base.read(segment.baseOffset, sum(segment.base));
}

function windowOf(reader: RandomReader, offset: number, bytes: number): RandomReader {
  return {
    bytes,
    read: (at, length) => reader.read(offset + at, Math.max(0, Math.min(length, bytes - at))),
  };
}

/** The next answer that is no group: one that was read ahead may have been taken from before anybody asked for it. */
async function frameOf(answers: AnswerReader): Promise<Frame> {
  for (;;) {
    const answer = await answers.next();
    if (answer !== 'group') return answer;
  }
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
