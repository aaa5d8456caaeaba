/** Takes an upload in: chunks, pages and deltas, each checked before it counts. */

import type { DeltaCodec, SignatureFeature } from '../contracts/delta-codec.ts';
import type { MadeDelta, NearHint } from '../contracts/repository.ts';
import { CHUNK_LIMITS } from '../domain/chunker.ts';
import { badFrame, FRAME, type Frame, frameJson, readBody } from '../domain/frames.ts';
import { readGroup } from '../domain/groups.ts';
import type { ChunkRef, ContentRef, Digest } from '../domain/manifest.ts';
import { cut, Pieces } from '../domain/pieces.ts';
import { release } from '../domain/release.ts';
import { type DeltaHead, DIGESTS_LIMIT, type GroupHead, type UploadHead } from '../domain/transfer-bodies.ts';
import { OverdubError, toOverdubError } from '../errors.ts';
import type { Transfer } from './transfer.ts';
import type { VirtualBase } from './virtual-base.ts';

/** Reads one body into the transfer. What arrived whole before a failure stays and is not asked for again. */
export async function receiveUpload(
  transfer: Transfer,
  body: AsyncIterable<Uint8Array>,
  codecs: readonly DeltaCodec[],
  signal: AbortSignal,
): Promise<void> {
  const frames = readBody(body);
  try {
    const first = await frames.next();
    if (first.done === true || first.value.type !== FRAME.head)
      throw badFrame('it does not begin with a head');
    const head = checkHead(frameJson(first.value));
    const { contents, virtual } = await transfer.bases(head);
    const upload = new Upload(transfer, contents, virtual, codecOf(head, codecs), head.logs === true);
    try {
      for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
        signal.throwIfAborted();
        transfer.options.touch();
        await upload.take(next.value, frames, signal);
      }
    } finally {
      await virtual.close();
    }
  } finally {
    await frames.return(undefined);
  }
}

function checkHead(head: UploadHead): UploadHead {
  const proper =
    Array.isArray(head.files) &&
    head.files.every((file) => typeof file?.path === 'string' && typeof file.digest === 'string') &&
    Number.isInteger(head.virtual) &&
    head.virtual >= 0 &&
    head.virtual <= head.files.length;
  if (!proper) throw badFrame('its head is malformed');
  return head;
}

function codecOf(head: UploadHead, codecs: readonly DeltaCodec[]): DeltaCodec | undefined {
  if (head.codec === undefined) return undefined;
  const codec = codecs.find((one) => one.name === head.codec && one.signatures !== undefined);
  if (codec !== undefined) return codec;
  throw new OverdubError(
    'DRIVER_MISSING',
    `The agent sends deltas of the codec ${head.codec}, which this appliance cannot apply.`,
    `Configure the plugin diff-${head.codec}, or nothing: the agent sends the files whole then.`,
  );
}

class Upload {
  readonly #transfer: Transfer;
  readonly #contents: readonly ContentRef[];
  readonly #virtual: VirtualBase;
  readonly #codec: DeltaCodec | undefined;
  readonly #logs: boolean;
  #near: { readonly content: ContentRef; offset: number } | undefined;

  constructor(
    transfer: Transfer,
    contents: readonly ContentRef[],
    virtual: VirtualBase,
    codec: DeltaCodec | undefined,
    logs: boolean,
  ) {
    this.#logs = logs;
    this.#transfer = transfer;
    this.#contents = contents;
    this.#virtual = virtual;
    this.#codec = codec;
  }

  async take(frame: Frame, frames: AsyncGenerator<Frame>, signal: AbortSignal): Promise<void> {
    if (frame.type === FRAME.chunk) await this.#chunk(frame.payload);
    else if (frame.type === FRAME.page) await this.#page(frame.payload);
    else if (frame.type === FRAME.near) this.#setNear(frame.payload);
    else if (frame.type === FRAME.group) await this.#group(frameJson(frame), frames);
    else if (frame.type === FRAME.delta) await this.#delta(frameJson(frame), frames, signal);
    else throw badFrame(`it holds a frame of the unknown type ${frame.type}`);
  }

  /** The bytes name themselves: a chunk that nobody asked for is a wrong one. */
  async #chunk(bytes: Uint8Array, made?: MadeDelta): Promise<ChunkRef> {
    const { asked, options } = this.#transfer;
    const near = this.#hint();
    const admit = (digest: Digest) => {
      this.#assertWanted(digest);
      return !asked.hasArrived(digest);
    };
    const form = { ...(made === undefined ? {} : { made }), ...(near === undefined ? {} : { near }) };
    const digest = await options.ingest.addBytes(bytes, admit, form);
    asked.arrive(digest);
    if (this.#near !== undefined) this.#near.offset += bytes.length;
    return { digest, bytes: bytes.length };
  }

  #assertWanted(digest: Digest): void {
    if (this.#transfer.asked.has(digest)) return;
    throw new OverdubError(
      'INPUT_INVALID',
      `The agent sent a chunk (${digest.slice(0, 12)}…) that was not asked for: it differs from what was offered.`,
      'The file changed while it was sent; the agent scans it again.',
    );
  }

  /** The repository decodes it, once, and says what it holds before anything counts. */
  async #group(head: GroupHead, frames: AsyncGenerator<Frame>): Promise<void> {
    const frame = await readGroup(head, new Pieces(frames));
    const { asked, options } = this.#transfer;
    let chunks: readonly ChunkRef[] = [];
    await options.ingest.addFrame(frame, (found) => {
      for (const { digest } of found) this.#assertWanted(digest);
      chunks = found;
    });
    for (const { digest } of chunks) asked.arrive(digest);
  }

  async #page(bytes: Uint8Array): Promise<void> {
    const near = this.#near;
    this.#near = undefined;
    const page = await this.#chunk(bytes);
    this.#near = near;
    this.#transfer.pageBytes.set(page.digest, page.bytes);
  }

  #hint(): NearHint | undefined {
    return this.#near === undefined
      ? undefined
      : { contents: [this.#near.content], offset: this.#near.offset };
  }

  #setNear(payload: Uint8Array): void {
    if (payload.length === 0) {
      this.#near = undefined;
      return;
    }
    if (payload.length !== 10) throw badFrame('a near frame has the wrong length');
    const view = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    const content = this.#contents[view.readUInt32LE(0)];
    if (content === undefined) throw badFrame('a near frame names a file that its head does not');
    this.#near = { content, offset: view.readUIntLE(4, 6) };
  }

  /** Makes the chunks a delta stands for, and lets later deltas of this body use them too. */
  async #delta(head: DeltaHead, frames: AsyncGenerator<Frame>, signal: AbortSignal): Promise<void> {
    const lengths = checkLengths(head);
    const feature = this.#codec?.signatures;
    if (feature === undefined) throw badFrame('it holds a delta but names no codec');
    const delta = new Pieces(frames);
    try {
      if (lengths.length === 1) await this.#deltaOfOne(head, delta, feature, signal);
      else await this.#deltaOfMany(head, delta, feature, signal);
      await delta.drain();
    } catch (error) {
      throw toOverdubError(
        error,
        'DELTA_INVALID',
        'The agent sends the files whole; nothing needs to be done.',
      );
    }
  }

  /** Kept as it came, where the repository allows: its bases are those that were read from. */
  async #deltaOfOne(
    { chunks, joins }: DeltaHead,
    delta: Pieces,
    feature: SignatureFeature,
    signal: AbortSignal,
  ) {
    const bytes = chunks[0] as number;
    const payload: Uint8Array[] = [];
    this.#virtual.takeTouched();
    const target = feature.patch(this.#virtual, copied(delta, payload), { targetBytes: bytes, signal });
    let chunk: Uint8Array = new Uint8Array(0);
    // To the end of the delta: only then all of it was seen.
    for await (const made of cut(target, [bytes])) chunk = made;
    const { name, formatVersion } = this.#codec as DeltaCodec;
    const bases = this.#virtual.takeTouched();
    const made = {
      codec: name,
      formatVersion,
      payload: Buffer.concat(payload),
      shared: this.#logs && joins !== false,
      bases,
    };
    const { digest } = await this.#chunk(chunk, made);
    if (joins !== false) await this.#virtual.appendBytes(digest, chunk);
    release(chunk);
  }

  async #deltaOfMany(
    { chunks: lengths, joins }: DeltaHead,
    delta: Pieces,
    feature: SignatureFeature,
    signal: AbortSignal,
  ) {
    const targetBytes = lengths.reduce((sum, length) => sum + length, 0);
    const made: ChunkRef[] = [];
    const target = feature.patch(this.#virtual, delta, { targetBytes, signal });
    for await (const chunk of cut(target, lengths)) made.push(await this.#chunk(chunk));
    if (joins !== false) this.#virtual.append(made);
  }
}

/** Passes pieces on and keeps them; what is longer than any chunk is kept as nothing. */
async function* copied(pieces: AsyncIterable<Uint8Array>, kept: Uint8Array[]): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes <= 2 * CHUNK_LIMITS.max) kept.push(piece);
    yield piece;
  }
}

function checkLengths(head: DeltaHead): readonly number[] {
  const { chunks } = head;
  const proper =
    Array.isArray(chunks) &&
    chunks.length > 0 &&
    chunks.length <= DIGESTS_LIMIT &&
    chunks.every((length) => Number.isInteger(length) && length > 0 && length <= CHUNK_LIMITS.max);
  if (!proper) throw badFrame('a delta announces chunks of impossible lengths');
  return chunks;
}
