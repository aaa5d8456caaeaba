/** Pack files, byte by byte as docs/repository-format.md has them. Pure; decoding trusts nothing. */

import { createHash } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { CHUNK_LIMITS } from '../../domain/chunker.ts';
import type { Digest } from '../../domain/manifest.ts';
import { alone } from '../../domain/release.ts';
import { ByteList, Cursor } from './bytes.ts';

/**
 * Version 2 compresses the index and knows deltas with placed bases, version 3 deep ones, version 4 frames in Brotli; older ones are
 * still read.
 */
export const PACK_VERSION = 4;
export const HEADER_BYTES = 16;
export const FOOTER_BYTES = 56;
/** At most this many deltas in a row. */
export const MAX_DEPTH = 100;
/** Made one after another they may be this many; more are put together, which takes placed bases. */
export const MADE_DEPTH = 2;
export const MAX_BASES = 16;
/** Deltas in a row of what other deltas of the same snapshot are made from. */
export const SHARED_DEPTH = 1;
/** At most this many bases of a delta that names a place for each. */
export const MAX_PLACES = 1024;
/** The space that placed bases lie in, bytes: offsets are of 48 bits. */
export const MAX_SPACE = 2 ** 48;

const HEADER_MAGIC = Buffer.from('OVDPACK\n', 'latin1');
const FOOTER_MAGIC = Buffer.from('OVDINDX\n', 'latin1');
/** No frame is larger: one chunk, or a group of small ones. */
export const MAX_FRAME_BYTES = 2 * CHUNK_LIMITS.max;
const MAX_INDEX_BYTES = 64 * 1024 * 1024;
/** Deltas of one log name the same bases over and over: little is left of that. */
const INDEX_LEVEL = 6;

/** How a chunk is made from others: `codec` applied to its bases, joined in order. */
export interface DeltaForm {
  readonly codec: string;
  readonly formatVersion: number;
  /** Deltas in a row, this one included. */
  readonly depth: number;
  readonly bases: readonly Digest[];
  /**
   * Where each base begins in the space that the delta copies from, and its length, in order and without overlap:
   * the space has holes. Absent: the bases lie behind one another.
   */
  readonly places?: readonly { readonly at: number; readonly bytes: number }[];
}

/** A chunk inside a frame: `payloadBytes` bytes at `at` of the frame's raw bytes. */
export interface PackedChunk {
  readonly digest: Digest;
  /** Length of the chunk itself. */
  readonly bytes: number;
  readonly at: number;
  readonly payloadBytes: number;
  /** Absent: the payload is the chunk. */
  readonly delta?: DeltaForm;
}

/** How a frame's bytes are stored, by their numbers in a pack's index: as they are, in RFC 8878, in RFC 7932. */
export const ENCODINGS = ['raw', 'zstd', 'brotli'] as const;
export type FrameEncoding = (typeof ENCODINGS)[number];

/** A run of stored bytes that is read and decompressed as one. */
export interface FramePlace {
  readonly offset: number;
  readonly storedBytes: number;
  readonly rawBytes: number;
  readonly encoding: FrameEncoding;
}

export interface PackedFrame extends FramePlace {
  readonly chunks: readonly PackedChunk[];
}

/** `optimised`: compressed at leisure, so that doing it again would give nothing. */
export function encodeHeader(optimised = false): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  HEADER_MAGIC.copy(header);
  header.writeUInt32LE(PACK_VERSION, 8);
  header.writeUInt32LE(optimised ? 1 : 0, 12);
  return header;
}

/** What the first {@link HEADER_BYTES} of a pack say. */
export function isOptimised(header: Uint8Array): boolean {
  return header.length === HEADER_BYTES && asBuffer(header).readUInt32LE(12) === 1;
}

/** The pack's tail: index and footer. Frames must lie one behind another from {@link HEADER_BYTES} on. */
export function encodeTail(frames: readonly PackedFrame[]): Buffer {
  const codecs = codecsOf(frames);
  const list = new ByteList();
  list.u32(codecs.length);
  for (const key of codecs) {
    const [name, version] = key.split('\0') as [string, string];
    list.u8(Buffer.byteLength(name));
    list.text(name);
    list.u32(Number(version));
  }
  list.u32(frames.length);
  for (const frame of frames) {
    list.u32(frame.storedBytes);
    list.u32(frame.rawBytes);
    list.u8(ENCODINGS.indexOf(frame.encoding));
    list.u32(frame.chunks.length);
    for (const chunk of frame.chunks) putChunk(list, chunk, codecs);
  }
  const params = { [constants.ZSTD_c_compressionLevel]: INDEX_LEVEL };
  const index = zstdCompressSync(list.bytes(), { params });
  const last = frames.at(-1);
  return Buffer.concat([index, encodeFooter(last ? last.offset + last.storedBytes : HEADER_BYTES, index)]);
}

function codecsOf(frames: readonly PackedFrame[]): string[] {
  const codecs = new Set<string>();
  for (const { chunks } of frames)
    for (const { delta } of chunks) if (delta !== undefined) codecs.add(codecKey(delta));
  return [...codecs];
}

function codecKey({ codec, formatVersion }: DeltaForm): string {
  return `${codec}\0${formatVersion}`;
}

function putChunk(list: ByteList, { digest, bytes, payloadBytes, delta }: PackedChunk, codecs: string[]) {
  list.digest(digest);
  list.u32(bytes);
  list.u32(payloadBytes);
  list.u8(delta === undefined ? 0 : delta.places === undefined ? 1 : 2);
  if (delta === undefined) return;
  const { depth, bases, places } = delta;
  list.u8(codecs.indexOf(codecKey(delta)));
  list.u8(depth);
  if (places === undefined) list.u8(bases.length);
  else list.u16(bases.length);
  for (const [at, base] of bases.entries()) {
    list.digest(base);
    const place = places?.[at];
    if (place === undefined) continue;
    list.u48(place.at);
    list.u32(place.bytes);
  }
}

function encodeFooter(indexOffset: number, index: Buffer): Buffer {
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.writeBigUInt64LE(BigInt(indexOffset), 0);
  footer.writeUInt32LE(index.length, 8);
  footer.writeUInt32LE(PACK_VERSION, 12);
  createHash('sha256').update(index).digest().copy(footer, 16);
  FOOTER_MAGIC.copy(footer, 48);
  return footer;
}

/** Where a pack's index lies. */
export interface PackFooter {
  readonly indexOffset: number;
  readonly indexBytes: number;
  readonly indexDigest: Digest;
  /** Of the pack's format. */
  readonly version: number;
}

/** Reads the last {@link FOOTER_BYTES} of a pack of `packBytes`. Throws on anything that is no such footer. */
export function decodeFooter(footer: Uint8Array, packBytes: number): PackFooter {
  const bytes = asBuffer(footer);
  if (bytes.length !== FOOTER_BYTES || !bytes.subarray(48).equals(FOOTER_MAGIC)) {
    throw new Error('it does not end in a footer, so it is truncated or no pack');
  }
  const version = bytes.readUInt32LE(12);
  if (version < 1 || version > PACK_VERSION) throw new Error(`it has format version ${version}`);
  const indexOffset = Number(bytes.readBigUInt64LE(0));
  const indexBytes = bytes.readUInt32LE(8);
  if (indexBytes > MAX_INDEX_BYTES || indexOffset + indexBytes + FOOTER_BYTES !== packBytes) {
    throw new Error('its footer does not fit its length');
  }
  return { indexOffset, indexBytes, indexDigest: bytes.toString('hex', 16, 48), version };
}

/** The frames of a pack, checked against the footer. Throws on anything malformed. */
export function decodeIndex(index: Uint8Array, footer: PackFooter): PackedFrame[] {
  return readFrames(openIndex(index, footer), footer, (frame) => frame);
}

/** A frame whose chunks are decoded when they are asked for. */
export interface ListedFrame extends FramePlace {
  /** How many there are. */
  readonly count: number;
  readonly chunks: () => readonly PackedChunk[];
}

/** What is in a pack. */
export interface PackList {
  /** Length of the index, which the frames keep. */
  readonly bytes: number;
  readonly frames: readonly ListedFrame[];
}

/** Like {@link decodeIndex}, to be kept: the bytes of the index, some 41 a chunk, instead of objects of four times as many. */
export function listIndex(index: Uint8Array, footer: PackFooter): PackList {
  const listed = alone(openIndex(index, footer));
  const frames = readFrames(listed, footer, ({ chunks, ...place }, again) => ({
    ...place,
    count: chunks.length,
    chunks: again,
  }));
  return { bytes: listed.length, frames };
}

/** The bytes of an index, checked and decompressed. */
function openIndex(index: Uint8Array, { indexDigest, version }: PackFooter): Buffer {
  const bytes = asBuffer(index);
  if (createHash('sha256').update(bytes).digest('hex') !== indexDigest) {
    throw new Error('its index does not match its digest');
  }
  return version === 1 ? bytes : zstdDecompressSync(bytes, { maxOutputLength: MAX_INDEX_BYTES });
}

function readFrames<T>(
  index: Uint8Array,
  footer: PackFooter,
  take: (frame: PackedFrame, again: () => readonly PackedChunk[]) => T,
): T[] {
  const cursor = new Cursor(asBuffer(index));
  const codecs = cursor.repeat(cursor.u32(), () => {
    const name = cursor.text(cursor.u8());
    return { name, version: cursor.u32() };
  });
  let next = HEADER_BYTES;
  const frames = cursor.repeat(cursor.u32(), () => {
    const [offset, copy] = [next, cursor.copy()];
    const frame = decodeFrame(cursor, offset, codecs);
    next += frame.storedBytes;
    return take(frame, () => decodeFrame(copy.copy(), offset, codecs).chunks);
  });
  if (next !== footer.indexOffset || !cursor.atEnd) throw new Error('its index does not fit its frames');
  return frames;
}

interface CodecName {
  readonly name: string;
  readonly version: number;
}

function decodeFrame(cursor: Cursor, offset: number, codecs: readonly CodecName[]): PackedFrame {
  const [storedBytes, rawBytes, encoding] = [cursor.u32(), cursor.u32(), ENCODINGS[cursor.u8()]];
  if (rawBytes > MAX_FRAME_BYTES || storedBytes > MAX_FRAME_BYTES || encoding === undefined) {
    throw new Error('its index lists a frame out of bounds');
  }
  let at = 0;
  const chunks = cursor.repeat(cursor.u32(), () => {
    const chunk = decodeChunk(cursor, at, codecs);
    at += chunk.payloadBytes;
    return chunk;
  });
  if (at !== rawBytes) throw new Error('its index lists a frame that its chunks do not fill');
  return { offset, storedBytes, rawBytes, encoding, chunks };
}

function decodeChunk(cursor: Cursor, at: number, codecs: readonly CodecName[]): PackedChunk {
  const digest = cursor.digest();
  const [bytes, payloadBytes, form] = [cursor.u32(), cursor.u32(), cursor.u8()];
  if (bytes > CHUNK_LIMITS.max || form > 2) throw new Error('its index lists a chunk out of bounds');
  if (form === 0) {
    if (bytes !== payloadBytes) throw new Error('its index lists a whole chunk of two lengths');
    return { digest, bytes, at, payloadBytes };
  }
  const codec = codecs[cursor.u8()];
  const depth = cursor.u8();
  const count = form === 1 ? cursor.u8() : cursor.u16();
  const most = form === 1 ? MAX_BASES : MAX_PLACES;
  if (codec === undefined || depth < 1 || depth > MAX_DEPTH || count < 1 || count > most) {
    throw new Error('its index lists a delta out of bounds');
  }
  const placed = cursor.repeat(count, () => ({
    base: cursor.digest(),
    place: form === 1 ? undefined : { at: cursor.u48(), bytes: cursor.u32() },
  }));
  const bases = placed.map(({ base }) => base);
  const delta = { codec: codec.name, formatVersion: codec.version, depth, bases };
  if (form === 1) return { digest, bytes, at, payloadBytes, delta };
  const places = placed.flatMap(({ place }) => (place === undefined ? [] : [place]));
  if (!arePlaces(places)) throw new Error('its index lists a delta whose bases overlap');
  return { digest, bytes, at, payloadBytes, delta: { ...delta, places } };
}

/** Do the places follow one another inside the space, each of a chunk's length? */
export function arePlaces(places: NonNullable<DeltaForm['places']>): boolean {
  let end = 0;
  for (const { at, bytes } of places) {
    if (at < end || bytes < 1 || bytes > CHUNK_LIMITS.max) return false;
    end = at + bytes;
  }
  return end <= MAX_SPACE;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
