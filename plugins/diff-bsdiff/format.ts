/**
 * BSDIFF40 (C. Percival: Naive Differences of Executable Code, 2003): a head of 32 bytes, then three bzip2 streams.
 * The first holds triples of numbers: bytes to add to the base's, bytes to insert, bytes to skip in the base; the
 * second what is added, the third what is inserted.
 */

import { type FileFormat, OverdubError } from '@overdub/core/agent';

export const MAGIC = Uint8Array.from(Buffer.from('BSDIFF40'));
export const HEAD_BYTES = 32;
export const TRIPLE_BYTES = 24;

/** The streams have checksums, but nothing tells the base. */
export const BSDIFF_FORMAT: FileFormat = { title: 'BSDIFF40', magic: MAGIC, checksummed: false };

/** One step of the patch. */
export interface Triple {
  readonly add: number;
  readonly insert: number;
  /** May be negative. */
  readonly skip: number;
}

export interface Head {
  readonly controlBytes: number;
  readonly differenceBytes: number;
  readonly targetBytes: number;
}

/** A BSDIFF40 that is truncated, corrupt or hostile. */
export function invalid(message: string): OverdubError {
  return new OverdubError(
    'DELTA_INVALID',
    message,
    'Make the delta again from the right base; if it was stored, verify the repository.',
  );
}

/** Checks the head against the delta's length (CVE-2014-9862: negative lengths wrote past the heap). */
export function parseHead(bytes: Uint8Array, deltaBytes: number): Head {
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw invalid('This is no BSDIFF40 delta: its first bytes are wrong.');
  }
  if (bytes.length < HEAD_BYTES) throw invalid('The delta is truncated in its head.');
  const head = {
    controlBytes: getNumber(bytes, 8),
    differenceBytes: getNumber(bytes, 16),
    targetBytes: getNumber(bytes, 24),
  };
  if (Object.values(head).some((value) => value < 0)) throw invalid('The delta has a negative length.');
  if (HEAD_BYTES + head.controlBytes + head.differenceBytes > deltaBytes) {
    throw invalid('The delta is truncated: its streams are longer than itself.');
  }
  return head;
}

export function headBytes({ controlBytes, differenceBytes, targetBytes }: Head): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES);
  bytes.set(MAGIC);
  putNumber(bytes, 8, controlBytes);
  putNumber(bytes, 16, differenceBytes);
  putNumber(bytes, 24, targetBytes);
  return bytes;
}

export function parseTriple(bytes: Uint8Array): Triple {
  return { add: getNumber(bytes, 0), insert: getNumber(bytes, 8), skip: getNumber(bytes, 16) };
}

export function tripleBytes(triples: readonly Triple[]): Uint8Array {
  const bytes = new Uint8Array(triples.length * TRIPLE_BYTES);
  for (const [i, { add, insert, skip }] of triples.entries()) {
    putNumber(bytes, i * TRIPLE_BYTES, add);
    putNumber(bytes, i * TRIPLE_BYTES + 8, insert);
    putNumber(bytes, i * TRIPLE_BYTES + 16, skip);
  }
  return bytes;
}

/** Eight bytes, least significant first; the top bit is the sign, not a complement. */
function getNumber(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8);
  const high = view.getUint32(4, true);
  const magnitude = (high & 0x7fffffff) * 2 ** 32 + view.getUint32(0, true);
  if (!Number.isSafeInteger(magnitude)) throw invalid('The delta has a number beyond 2^53.');
  return high >= 2 ** 31 ? -magnitude : magnitude;
}

function putNumber(bytes: Uint8Array, at: number, value: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8);
  const magnitude = Math.abs(value);
  view.setUint32(0, magnitude % 2 ** 32, true);
  view.setUint32(4, Math.floor(magnitude / 2 ** 32), true);
  if (value < 0) view.setUint8(7, view.getUint8(7) | 0x80);
}
