/**
 * Answers of a fetch that need no compressor around them: each goes out as it is stored, or, where the line is slow, is compressed by
 * itself. Whoever takes them compares each chunk with its digest.
 */

import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { ahead } from '../domain/ahead.ts';
import { groupFrames } from '../domain/groups.ts';
import { heardLater } from '../domain/heard-later.ts';
import type { Digest } from '../domain/manifest.ts';
import { release } from '../domain/release.ts';
import type { GivenGroup } from '../domain/transfer-bodies.ts';
import { chunksAhead, waysOf } from './answer-ways.ts';
import type { Group, GroupPlan } from './given-groups.ts';
import type { LineGauge } from './line-gauge.ts';
import type { Wants } from './wants.ts';

/** Small chunks behind one another are compressed together, up to so many bytes, and so many of them. */
const JOINED_BYTES = 512 * 1024;
const JOINED_CHUNKS = 4096;
/** What is nearly incompressible goes out as it is. */
const WORTHWHILE = 0.98;
const LEVEL = { [constants.ZSTD_c_compressionLevel]: 3 };

const compress = promisify(zstdCompress);

export interface PackedAnswersOptions {
  /** Of these wants, from the first on. */
  readonly plan: GroupPlan;
  readonly wants: Wants;
  /** In a buffer that is the caller's to free. */
  readonly readChunk: (digest: Digest) => Promise<Uint8Array>;
  /** Answers under way behind the one that is sent: with two, one is read and one compressed meanwhile. */
  readonly ahead: number;
  /** Is what comes next read while one is made: some chunks, and a frame of 16 MiB at most? */
  readonly readsAhead: boolean;
  /** Of the line that they go out on. */
  readonly line: LineGauge;
}

/** Behind it nothing may come for long: whoever sends on what came before does not keep it back. */
export const PAUSE: Uint8Array = new Uint8Array();

/** Every piece is read until the next one is asked for; {@link PAUSE} where no more is wanted as far as is known. */
export async function* packedAnswers(options: PackedAnswersOptions): AsyncGenerator<Uint8Array> {
  const { wants, line } = options;
  const at = { want: 0 };
  // While more are waited for nothing else is under way that a failure would have to wait for.
  while (await wants.comes(at.want)) {
    line.resume();
    for await (const { packed } of ahead(answersOf(options, at), options.ahead)) {
      const { head, pieces, buffer } = await packed;
      line.made();
      yield* groupFrames(head, pieces);
      line.sent(head.bytes);
      release(buffer);
    }
    yield PAUSE;
  }
}

/** Each in turn, as far as they are known, begun: what is left to do of it goes on while the next ones are read. */
async function* answersOf(options: PackedAnswersOptions, at: { want: number }) {
  const packed = (group: Group) => begun(options.line.isSlow ? pack(group) : Promise.resolve(group));
  let joined = new JoinedChunks();
  const ways = options.readsAhead ? chunksAhead(waysOf(options, at)) : waysOf(options, at);
  for await (const { want, way, reading } of ways) {
    const chunk = await reading;
    if (joined.bytes > 0 && !(chunk !== undefined && joined.fits(chunk))) {
      yield packed(joined.group());
      joined = new JoinedChunks();
    }
    if (chunk !== undefined) joined.add(want, chunk);
    else if (way !== 'chunk') yield way.isPicked ? packed(way) : begun(Promise.resolve(way));
    if (joined.isFull) {
      yield packed(joined.group());
      joined = new JoinedChunks();
    }
  }
  if (joined.bytes > 0) yield packed(joined.group());
}

function begun(packed: Promise<Group>): { readonly packed: Promise<Group> } {
  return { packed: heardLater(packed) };
}

/** Chunks that go out one by one, the small ones with their neighbours. */
class JoinedChunks {
  readonly #chunks: Uint8Array[] = [];
  readonly #gives: [want: number, chunk: number][] = [];
  bytes = 0;

  fits(chunk: Uint8Array): boolean {
    return this.bytes + chunk.length <= JOINED_BYTES && this.#chunks.length < JOINED_CHUNKS;
  }

  get isFull(): boolean {
    return this.bytes >= JOINED_BYTES;
  }

  add(want: number, chunk: Uint8Array): void {
    this.#gives.push([want, this.#chunks.length]);
    this.#chunks.push(chunk);
    this.bytes += chunk.length;
  }

  group(): Group {
    const pieces = this.#chunks;
    const chunks = pieces.map(({ length }) => length);
    const head: GivenGroup = { chunks, encoding: 'raw', bytes: this.bytes, gives: this.#gives };
    return { head, pieces, buffer: pieces[0] as Uint8Array, isPicked: true };
  }
}

/** The same group compressed, where that makes it smaller; what is not needed any more is freed. */
async function pack(group: Group): Promise<Group> {
  const { head, pieces, buffer } = group;
  const raw = pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
  const made = await compress(raw, { params: LEVEL, chunkSize: raw.length + (raw.length >> 8) + 1024 });
  const isSmaller = made.length < raw.length * WORTHWHILE;
  if (isSmaller || raw !== pieces[0]) release(raw);
  release(isSmaller ? buffer : made);
  if (!isSmaller) return group;
  const packed = { ...head, encoding: 'zstd' as const, bytes: made.length };
  return { head: packed, pieces: [made], buffer: made, isPicked: false };
}
