/** The frame of VCDIFF files (RFC 3284 §4, with xdelta3's window checksum): header and windows, not instructions. */

import { OverdubError, type RandomReader } from '@overdub/core/agent';

/** RFC 3284 §4.1: "VCD" with high bits, version 0, and an indicator that announces nothing. */
export const PLAIN_HEADER = Uint8Array.of(0xd6, 0xc3, 0xc4, 0, 0);

/** What `xdelta3 -A= -S none` writes for an empty target: one window of no bytes, its checksum 1. */
export const EMPTY_WINDOW = Uint8Array.of(0x04, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 1);

/** Bounds of one window, so that hostile headers cannot ask for memory: xdelta3's own are 16 and 64 MiB. */
export const MAX_WINDOW_TARGET = 64 * 1024 * 1024;
export const MAX_WINDOW_SEGMENT = 128 * 1024 * 1024;
const MAX_WINDOW_ENCODING = 80 * 1024 * 1024;

const HEADER_SECONDARY = 1;
const HEADER_CODE_TABLE = 2;
const HEADER_APPLICATION = 4;
const WINDOW_SOURCE = 1;
const WINDOW_TARGET = 2;
const WINDOW_CHECKSUM = 4;
const MAX_APPLICATION_BYTES = 1024 * 1024;
/** Longest header of a window up to its encoding: indicator and three numbers. */
const WINDOW_HEAD_BYTES = 32;

/** Part of the base that a window copies from. */
export interface Segment {
  readonly offset: number;
  readonly length: number;
}

/** Where a window lies in its file, and what it needs. */
export interface VcdiffWindow {
  readonly segment: Segment | undefined;
  readonly checksummed: boolean;
  readonly targetBytes: number;
  /** Of the delta encoding: from the target window's length to the end of the window. */
  readonly encodingOffset: number;
  readonly encodingBytes: number;
}

/** A VCDIFF that is truncated, corrupt or hostile. */
export function invalid(message: string): OverdubError {
  return new OverdubError(
    'DELTA_INVALID',
    message,
    'Make the delta again from the right base; if it was stored, verify the repository.',
  );
}

/** A VCDIFF that is right, but uses what this codec does not read. */
function unsupported(message: string): OverdubError {
  return new OverdubError(
    'DELTA_INVALID',
    message,
    'Make the delta again with `xdelta3 -e -S none -s BASE TARGET DELTA`.',
  );
}

/** Reads header and window heads, skipping the encodings. Total; ends exactly at the end of the file. */
export async function* readWindows(file: RandomReader): AsyncGenerator<VcdiffWindow> {
  let at = await headerBytes(file);
  while (at < file.bytes) {
    const window = await readWindow(file, at);
    at = window.encodingOffset + window.encodingBytes;
    yield window;
  }
}

/** The window as a file of its own whose segment begins at 0 of the source. */
export function asFile(window: VcdiffWindow, encoding: Uint8Array): Uint8Array {
  return Buffer.concat([PLAIN_HEADER, windowBytes(window, 0, encoding)]);
}

/** The window's bytes with its segment at `offset` of the base. */
export function windowBytes(window: VcdiffWindow, offset: number, encoding: Uint8Array): Uint8Array {
  const { segment } = window;
  const indicator = (segment === undefined ? 0 : WINDOW_SOURCE) | (window.checksummed ? WINDOW_CHECKSUM : 0);
  const head = [indicator];
  if (segment !== undefined) head.push(...number(segment.length), ...number(offset));
  head.push(...number(encoding.length));
  return Buffer.concat([Uint8Array.from(head), encoding]);
}

async function headerBytes(file: RandomReader): Promise<number> {
  const head = new Fields(await file.read(0, WINDOW_HEAD_BYTES));
  for (const byte of PLAIN_HEADER.subarray(0, 4)) {
    if (head.byte() !== byte) throw invalid('This is no VCDIFF delta: its first bytes are wrong.');
  }
  const indicator = head.byte();
  if ((indicator & HEADER_SECONDARY) !== 0) {
    throw unsupported(
      'The delta uses secondary compression (djw, fgk or lzma), which this codec does not read.',
    );
  }
  if ((indicator & HEADER_CODE_TABLE) !== 0) {
    throw unsupported('The delta brings a code table of its own, which this codec does not read.');
  }
  if ((indicator & ~HEADER_APPLICATION) !== 0)
    throw invalid(`The delta has unknown header bits (${indicator}).`);
  if (indicator === 0) return head.at;
  // xdelta3 keeps file names here; nothing is ever done with them.
  const length = head.number();
  if (length > MAX_APPLICATION_BYTES) throw invalid(`The delta's application header claims ${length} bytes.`);
  if (head.at + length > file.bytes) throw invalid('The delta is truncated in its application header.');
  return head.at + length;
}

async function readWindow(file: RandomReader, offset: number): Promise<VcdiffWindow> {
  const head = new Fields(await file.read(offset, WINDOW_HEAD_BYTES));
  const indicator = head.byte();
  if ((indicator & WINDOW_TARGET) !== 0) {
    throw unsupported(
      'The delta copies from its own earlier target windows (VCD_TARGET), which this codec does not read.',
    );
  }
  if ((indicator & ~(WINDOW_SOURCE | WINDOW_CHECKSUM)) !== 0) {
    throw invalid(`The delta has unknown window bits (${indicator}).`);
  }
  let segment: Segment | undefined;
  if ((indicator & WINDOW_SOURCE) !== 0) {
    const length = head.number();
    segment = { length, offset: head.number() };
    assertAtMost('source segment', length, MAX_WINDOW_SEGMENT);
  }
  const encodingBytes = head.number();
  assertAtMost('encoding', encodingBytes, MAX_WINDOW_ENCODING);
  const encodingOffset = offset + head.at;
  if (encodingOffset + encodingBytes > file.bytes) throw invalid('The delta is truncated in a window.');
  const targetBytes = new Fields(await file.read(encodingOffset, Math.min(encodingBytes, 9))).number();
  assertAtMost('target', targetBytes, MAX_WINDOW_TARGET);
  return {
    segment,
    checksummed: (indicator & WINDOW_CHECKSUM) !== 0,
    targetBytes,
    encodingOffset,
    encodingBytes,
  };
}

function assertAtMost(what: string, bytes: number, most: number): void {
  if (bytes > most) throw invalid(`A window's ${what} has ${bytes} bytes; at most ${most} are read.`);
}

/** Reads fields from the front of a piece; running out of bytes is an error. */
class Fields {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw invalid('The delta is truncated in a header.');
    return byte;
  }

  /** RFC 3284 §2: base 128, most significant first. */
  number(): number {
    let value = 0;
    for (;;) {
      const byte = this.byte();
      value = value * 128 + (byte & 127);
      if (!Number.isSafeInteger(value)) throw invalid('The delta has a number beyond 2^53.');
      if (byte < 128) return value;
    }
  }
}

function number(value: number): number[] {
  const bytes = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
    bytes.unshift((rest % 128) | 128);
  }
  return bytes;
}
