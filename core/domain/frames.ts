/**
 * Frames: how bulk data travels between agent and appliance (docs/agent-protocol.md). A frame is one type byte,
 * the payload's length as 32-bit little-endian, and the payload. A body is a sequence of frames inside one zstd
 * stream, ended by an `end` frame: without it the body was cut off.
 */

import { pipeline, Readable } from 'node:stream';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { OverdubError } from '../errors.ts';
import { isStored, STORED_HEADER_BYTES, storedFrames } from './stored-body.ts';

/** Frame types; letters so that a dump can be read. */
export const FRAME = {
  /** JSON: what the whole body is about. */
  head: 0x49,
  /** Raw 32-byte digests, one after another. */
  digests: 0x57,
  /** Bytes of one chunk. */
  chunk: 0x43,
  /** Bytes of one manifest page. */
  page: 0x50,
  /** JSON: a delta follows; what it makes. */
  delta: 0x44,
  /** JSON: chunks follow that are compressed together, in pieces. */
  group: 0x47,
  /** A piece of a delta, group or signature. */
  piece: 0x64,
  /** End of the pieces. */
  piecesEnd: 0x65,
  /** Which earlier content the next chunks resemble: 32-bit index, 48-bit offset, little-endian. */
  near: 0x4e,
  /** 16-bit count of wanted digests, 16-bit count of base digests, then both. */
  want: 0x51,
  /** Raw 32-byte digests that a later request will want, in that order: groups may hold them already. */
  later: 0x4c,
  /** JSON: `waited` of a {@link ReadHead}, anew, for the time since it was said. */
  waited: 0x54,
  /** The base asked for is not known: nothing was sent for this want. */
  unknownBase: 0x55,
  /** JSON error body: the sender failed after it had begun. */
  failure: 0x46,
  /** Nothing follows. */
  end: 0x5a,
} as const;

/** Largest payload: a chunk of 8 MiB, and some. */
export const MAX_FRAME_BYTES: number = 8 * 1024 * 1024 + 64 * 1024;

/** 2^23 bytes: what both sides hold as window at most. */
const WINDOW_LOG = 23;
const HEADER_BYTES = 5;
const NOTHING = new Uint8Array(0);
/** Output of one decompression step. */
const PIECE_BYTES = 256 * 1024;
const GATHER_BYTES = 128 * 1024;
/** What is copied nowhere on its way to the compressor. */
const LONG_BYTES = 1024 * 1024;

/** How a source gives its bytes. */
export interface SourceManner {
  /** Is each piece good only until the next one is asked for? */
  readonly areLent?: boolean;
}

export interface Frame {
  readonly type: number;
  readonly payload: Uint8Array;
}

/** Header and payload as separate buffers, the payload not copied. */
export function encodeFrame(type: number, payload: Uint8Array | string = ''): Uint8Array[] {
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'utf8') : payload;
  if (bytes.length > MAX_FRAME_BYTES) throw new TypeError(`a frame of ${bytes.length} bytes is too long`);
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = type;
  header.writeUInt32LE(bytes.length, 1);
  return bytes.length === 0 ? [header] : [header, bytes];
}

/**
 * The frames of a plain byte stream. INPUT_INVALID on a length out of bounds, before anything is allocated. Pieces of a group come
 * in parts, as they arrive, so that they are not put together twice. Where pieces of the source are lent, so are the frames' payloads.
 */
export async function* parseFrames(
  source: AsyncIterable<Uint8Array>,
  { areLent = false }: SourceManner = {},
): AsyncGenerator<Frame> {
  const queue: Uint8Array[] = [];
  let queued = 0;
  let need = HEADER_BYTES;
  let type: number | undefined;
  let isGroup = false;
  for await (const piece of source) {
    queue.push(piece);
    queued += piece.length;
    for (;;) {
      const isPart = isGroup && type === FRAME.piece;
      const length = isPart ? Math.min(need, (queue[0] ?? NOTHING).length) : need;
      if (queued < length || (isPart && queued === 0 && need > 0)) break;
      const bytes = take(queue, length);
      queued -= length;
      if (type === undefined) {
        const announced = bytes.readUInt32LE(1);
        if (announced > MAX_FRAME_BYTES) throw badFrame(`it announces a frame of ${announced} bytes`);
        type = bytes[0] as number;
        need = announced;
        if (type === FRAME.group || type === FRAME.piecesEnd) isGroup = type === FRAME.group;
        continue;
      }
      yield { type, payload: bytes };
      need -= length;
      if (need > 0) continue;
      type = undefined;
      need = HEADER_BYTES;
    }
    if (areLent && queued > 0) queue.push(new Uint8Array(queue.pop() as Uint8Array));
  }
  if (queued > 0 || type !== undefined) throw badFrame('it ends inside a frame');
}

/** Removes `length` bytes from the front. */
function take(queue: Uint8Array[], length: number): Buffer {
  const first = queue[0];
  if (first !== undefined && first.length >= length) {
    if (first.length > length) queue[0] = first.subarray(length);
    else queue.shift();
    return Buffer.from(first.buffer, first.byteOffset, length);
  }
  const out = Buffer.allocUnsafe(length);
  let at = 0;
  let used = 0;
  while (at < length) {
    const piece = queue[used] as Uint8Array;
    const part = piece.subarray(0, length - at);
    out.set(part, at);
    at += part.length;
    if (part.length === piece.length) used += 1;
    else queue[used] = piece.subarray(part.length);
  }
  // At once: a frame may arrive in a great many pieces.
  queue.splice(0, used);
  return out;
}

/** How much memory and time a body's compression may take: uploads gain most, answers must be cheap to make. */
export type BodyEffort = 'upload' | 'light';

const EFFORTS: Readonly<Record<BodyEffort, Readonly<Record<number, number>>>> = {
  upload: {
    [constants.ZSTD_c_compressionLevel]: 3,
    [constants.ZSTD_c_windowLog]: WINDOW_LOG,
    [constants.ZSTD_c_enableLongDistanceMatching]: 1,
  },
  light: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_windowLog]: 21 },
};

/**
 * A compressed body: frames in, zstd out. A piece is read until the next one is asked for, and may be freed then. Errors of
 * `frames` destroy the stream.
 */
export function compressFrames(frames: AsyncIterable<Uint8Array>, effort: BodyEffort): Readable {
  // With room for nothing, whoever feeds the compressor waits until it has taken each piece.
  const options = { params: EFFORTS[effort], chunkSize: PIECE_BYTES, writableHighWaterMark: 1 };
  return pipeline(gathered(frames), createZstdCompress(options), () => undefined) as unknown as Readable;
}

/**
 * Small pieces joined up to {@link GATHER_BYTES}, always in the same buffer: each write to the compressor is a trip to another
 * thread. A long piece goes as it is: copies of all large chunks would take more memory than anything else an answer needs.
 */
async function* gathered(frames: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const joined = Buffer.allocUnsafeSlow(GATHER_BYTES + LONG_BYTES);
  let bytes = 0;
  for await (const piece of frames) {
    const isLong = piece.length >= LONG_BYTES;
    if (!isLong) {
      joined.set(piece, bytes);
      bytes += piece.length;
    }
    if (bytes > 0 && (isLong || bytes >= GATHER_BYTES)) {
      yield joined.subarray(0, bytes);
      bytes = 0;
    }
    if (isLong) yield piece;
  }
  if (bytes > 0) yield joined.subarray(0, bytes);
}

/**
 * The frames of a compressed body. Ends at the `end` frame; INPUT_INVALID when the body stops before it, is no
 * zstd, or goes on behind it. A `failure` frame is thrown as the error it carries.
 */
export async function* readBody(
  source: AsyncIterable<Uint8Array>,
  manner: SourceManner = {},
): AsyncGenerator<Frame> {
  // A request must outlive its reading, so that a refusal can still be answered on the same socket.
  const feed = source instanceof Readable ? source.iterator({ destroyOnReturn: false }) : source;
  let ended = false;
  try {
    for await (const frame of framesOf(feed, manner)) {
      if (ended) throw badFrame('it goes on behind its end');
      if (frame.type === FRAME.failure) throw OverdubError.fromJSON(frameJson(frame));
      if (frame.type === FRAME.end) ended = true;
      else yield frame;
    }
  } catch (error) {
    throw error instanceof OverdubError ? error : asBodyError(error);
  }
  if (!ended) throw badFrame('it stops before its end');
}

/** What a body holds: through a decompressor, unless it says at its beginning that it needs none. */
async function* framesOf(source: AsyncIterable<Uint8Array>, manner: SourceManner): AsyncGenerator<Frame> {
  const pieces = source[Symbol.asyncIterator]();
  let beginning = Buffer.alloc(0);
  while (beginning.length < STORED_HEADER_BYTES) {
    const next = await pieces.next();
    if (next.done === true) break;
    beginning = Buffer.concat([beginning, next.value]);
  }
  const body = resumed(beginning, pieces);
  if (isStored(beginning)) {
    yield* parseFrames(storedFrames(body), manner);
    return;
  }
  const params = { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG };
  const decompress = createZstdDecompress({ params, chunkSize: PIECE_BYTES });
  const compressed = manner.areLent === true ? copied(body) : body;
  yield* parseFrames(pipeline(compressed, decompress, () => undefined));
}

/** The whole of a source of which the beginning was looked at. */
async function* resumed(beginning: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield beginning;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

/** For who reads ahead. */
async function* copied(lent: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of lent) yield new Uint8Array(piece);
}

/** zlib's complaints are the sender's fault; everything else (a reset connection) is passed on. */
function asBodyError(error: unknown): unknown {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && (code.startsWith('ZSTD') || code.startsWith('Z_'))
    ? badFrame('it is no zstd stream', error)
    : error;
}

/** Payload → JSON value; INPUT_INVALID when it is none. */
export function frameJson<T>(frame: Frame): T {
  try {
    return JSON.parse(Buffer.from(frame.payload).toString('utf8')) as T;
  } catch (error) {
    throw badFrame('a frame that must hold JSON does not', error);
  }
}

/** The error of everything a body can have wrong. */
export function badFrame(what: string, cause?: unknown): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `A transfer body is malformed: ${what}.`,
    'Repeat the transfer; if it happens again, compare the versions of agent and appliance.',
    cause === undefined ? {} : { cause },
  );
}

/** The frames of a request body: a head, some frames, the end. */
export async function* requestFrames(
  head: unknown,
  frames: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* encodeFrame(FRAME.head, JSON.stringify(head));
  yield* frames;
  yield* encodeFrame(FRAME.end);
}
