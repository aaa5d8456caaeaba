/** rdiff signatures: a weak and a strong sum for each block of a base. */

import type { SignedBase } from '@overdub/core/agent';
import {
  invalid,
  MAX_BLOCK_BYTES,
  MIN_BLOCK_BYTES,
  MIN_STRONG_BYTES,
  SIGNATURE_HEADER_BYTES,
  STRONG_BYTES,
  type StrongKind,
  type SumKinds,
  signatureMagic,
  sumKindsOf,
  type WeakKind,
} from './format.ts';
import { createStrongSum } from './strong-sum.ts';
import { weakSum } from './weak-sum.ts';

export interface SignatureOptions {
  readonly weak?: WeakKind;
  /** Default: `blake2`. */
  readonly strong?: StrongKind;
  readonly blockBytes: number;
  /** Kept bytes of each strong sum, from 12; by default all: 32 of BLAKE2, 16 of MD4. */
  readonly strongBytes?: number;
  /** When given, a source of any other length is rejected. */
  readonly sourceBytes?: number;
  /** See {@link SignOptions.previous}; one with other sums or blocks, or that cannot be read, is passed over. */
  readonly previous?: SignedBase;
  /** See `SignOptions.onStayed`. */
  readonly onStayed?: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** Block length that `rdiff signature` takes by itself (librsync 2.3, `rs_sig_args`). */
export function rdiffBlockBytes(sourceBytes: number): number {
  if (sourceBytes <= 256 * 256) return 256;
  return Math.max(256, Math.floor(Math.sqrt(sourceBytes) / 128) * 128);
}

/** Streams a signature, byte-identical to `rdiff signature -H STRONG -R WEAK -b BLOCK -S BYTES`. */
export async function* sign(
  source: AsyncIterable<Uint8Array>,
  options: SignatureOptions,
): AsyncGenerator<Uint8Array> {
  const { blockBytes, weak = 'rabinkarp', strong: kind = 'blake2' } = options;
  const { strongBytes = STRONG_BYTES[kind] } = options;
  assertParameters(blockBytes, strongBytes, kind);
  yield header(signatureMagic({ weak, strong: kind }), blockBytes, strongBytes);
  const strong = await createStrongSum(kind);
  const entryBytes = 4 + strongBytes;
  const held = new Uint8Array(blockBytes);
  let heldBytes = 0;
  let total = 0;
  const before = previousEntries(options.previous, { weak, strong: kind }, blockBytes, strongBytes);
  const last = { weak: -1, strong: new Uint8Array(strongBytes) };
  let block = 0;
  let stayed = 0;
  const putEntry = (out: Uint8Array, at: number, bytes: Uint8Array, from: number, length: number): void => {
    const sum = weakSum(weak, bytes, from, length);
    putWord(out, at, sum);
    const known = before?.(block++, sum, length);
    if (known !== undefined) stayed += length;
    const isRepeated = known === undefined && sum === last.weak && repeats(bytes, from, length);
    if (!isRepeated)
      last.strong.set(known ?? strong(bytes.subarray(from, from + length)).subarray(0, strongBytes));
    last.weak = sum;
    out.set(last.strong, at + 4);
  };
  for await (const chunk of source) {
    options.signal?.throwIfAborted();
    total += chunk.length;
    const out = new Uint8Array(Math.floor((heldBytes + chunk.length) / blockBytes) * entryBytes);
    let written = 0;
    let at = 0;
    if (heldBytes > 0) {
      at = Math.min(blockBytes - heldBytes, chunk.length);
      held.set(chunk.subarray(0, at), heldBytes);
      heldBytes += at;
      if (heldBytes === blockBytes) {
        putEntry(out, 0, held, 0, blockBytes);
        written = entryBytes;
        heldBytes = 0;
      }
    }
    for (; at + blockBytes <= chunk.length; at += blockBytes, written += entryBytes) {
      putEntry(out, written, chunk, at, blockBytes);
    }
    held.set(chunk.subarray(at), heldBytes);
    heldBytes += chunk.length - at;
    if (out.length > 0) yield out;
    options.onStayed?.(stayed);
    stayed = 0;
  }
  if (options.sourceBytes !== undefined && total !== options.sourceBytes) {
    throw new Error(
      `the source had ${total} bytes instead of ${options.sourceBytes}: it changed while it was read`,
    );
  }
  if (heldBytes > 0) {
    const out = new Uint8Array(entryBytes);
    putEntry(out, 0, held, 0, heldBytes);
    yield out;
  }
}

/** Are these bytes the same as those just before them? Holes and unwritten space are one block after another of zeros. */
function repeats(bytes: Uint8Array, from: number, length: number): boolean {
  if (from < length) return false;
  const block = Buffer.from(bytes.buffer, bytes.byteOffset + from - length, 2 * length);
  return block.compare(block, 0, length, length) === 0;
}

/** The strong sum that a block of this number, weak sum and length had before. */
type KnownStrong = (block: number, weak: number, length: number) => Uint8Array | undefined;

function previousEntries(
  previous: SignedBase | undefined,
  sums: SumKinds,
  blockBytes: number,
  strongBytes: number,
): KnownStrong | undefined {
  if (previous === undefined) return undefined;
  const { signature, baseBytes } = previous;
  let parsed: ParsedSignature;
  try {
    parsed = parseSignature(signature, baseBytes, { acceptMd4: true });
  } catch {
    // A cache that power loss cut short: everything is signed anew.
    return undefined;
  }
  const alike =
    parsed.weak === sums.weak &&
    parsed.strong === sums.strong &&
    parsed.blockBytes === blockBytes &&
    parsed.strongBytes === strongBytes;
  if (!alike) return undefined;
  const entryBytes = 4 + strongBytes;
  return (block, weak, length) => {
    const there = Math.min(blockBytes, baseBytes - block * blockBytes);
    if (there !== length || parsed.weakAt(block) !== weak) return undefined;
    const at = SIGNATURE_HEADER_BYTES + block * entryBytes + 4;
    return signature.subarray(at, at + strongBytes);
  };
}

/** A checked view of a signature's bytes. */
export interface ParsedSignature extends SumKinds {
  readonly blockBytes: number;
  readonly strongBytes: number;
  readonly blocks: number;
  weakAt(block: number): number;
  /** `word` counts in four bytes from the start of the strong sum; `word` < strongBytes / 4. */
  strongWordAt(block: number, word: number): number;
}

/** Which strong sums a reader accepts: MD4 only where it is asked for. */
export interface SignaturePolicy {
  readonly acceptMd4?: boolean;
}

/** Reads a signature of a base of `baseBytes`; refuses short strong sums, any wrong length, and MD4 unless accepted. */
export function parseSignature(
  signature: Uint8Array,
  baseBytes: number,
  { acceptMd4 = false }: SignaturePolicy = {},
): ParsedSignature {
  const view = new DataView(signature.buffer, signature.byteOffset, signature.byteLength);
  if (signature.length < SIGNATURE_HEADER_BYTES)
    throw invalid('The signature is truncated: it has no whole header.');
  const { weak, strong } = kindsOf(view.getUint32(0), acceptMd4);
  const blockBytes = view.getUint32(4);
  const strongBytes = view.getUint32(8);
  assertParameters(blockBytes, strongBytes, strong);
  const entryBytes = 4 + strongBytes;
  const blocks = Math.ceil(baseBytes / blockBytes);
  const expected = SIGNATURE_HEADER_BYTES + blocks * entryBytes;
  if (signature.length !== expected) {
    throw invalid(
      `The signature has ${signature.length} bytes; one of a base of ${baseBytes} bytes in blocks of ${blockBytes} has ${expected}.`,
    );
  }
  const entry = (block: number): number => SIGNATURE_HEADER_BYTES + block * entryBytes;
  return {
    weak,
    strong,
    blockBytes,
    strongBytes,
    blocks,
    weakAt: (block) => view.getUint32(entry(block)),
    strongWordAt: (block, word) => view.getUint32(entry(block) + 4 + 4 * word),
  };
}

/** Length of the longest base that a signature can be of, from its head and its own length alone. */
export function longestBase(signature: Uint8Array): number {
  if (signature.length < SIGNATURE_HEADER_BYTES) return 0;
  const view = new DataView(signature.buffer, signature.byteOffset, signature.byteLength);
  const entryBytes = 4 + view.getUint32(8);
  return Math.floor((signature.length - SIGNATURE_HEADER_BYTES) / entryBytes) * view.getUint32(4);
}

function kindsOf(magic: number, acceptMd4: boolean): SumKinds {
  const kinds = sumKindsOf(magic);
  if (kinds === undefined) throw invalid('This is no rdiff signature: its first bytes are wrong.');
  if (kinds.strong === 'blake2' || acceptMd4) return kinds;
  throw invalid(
    'The signature uses MD4, for which collisions can be made at will (CVE-2014-8242); sign with `rdiff -H blake2`.',
  );
}

function assertParameters(blockBytes: number, strongBytes: number, strong: StrongKind): void {
  if (!Number.isInteger(blockBytes) || blockBytes < MIN_BLOCK_BYTES || blockBytes > MAX_BLOCK_BYTES) {
    throw invalid(
      `A block length of ${blockBytes} is not between ${MIN_BLOCK_BYTES} and ${MAX_BLOCK_BYTES}.`,
    );
  }
  const most = STRONG_BYTES[strong];
  if (!Number.isInteger(strongBytes) || strongBytes < MIN_STRONG_BYTES || strongBytes > most) {
    throw invalid(
      `A strong sum of ${strongBytes} bytes is not between ${MIN_STRONG_BYTES} and ${most}: shorter ones mistake blocks for others.`,
    );
  }
}

function header(magic: number, blockBytes: number, strongBytes: number): Uint8Array {
  const bytes = new Uint8Array(SIGNATURE_HEADER_BYTES);
  putWord(bytes, 0, magic);
  putWord(bytes, 4, blockBytes);
  putWord(bytes, 8, strongBytes);
  return bytes;
}

function putWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
