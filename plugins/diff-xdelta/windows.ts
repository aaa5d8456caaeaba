/** Encodes and decodes window by window, in memory that depends on the windows, not on the files. */

import type { FileOptions, RandomReader } from '@overdub/core/agent';
import { memoryReader } from '@overdub/lib-files';
import {
  asFile,
  EMPTY_WINDOW,
  invalid,
  PLAIN_HEADER,
  readWindows,
  type Segment,
  type VcdiffWindow,
  windowBytes,
} from './vcdiff.ts';
import { decodeMemory, encodeMemory, NOTHING, type Xdelta, type XdeltaLoader } from './xdelta.ts';

/** Length of a target window, and how far its source reaches before and after the same place in the base. */
const WINDOW_BYTES = 4 * 1024 * 1024;
const REACH_BYTES = 6 * 1024 * 1024;

/** Streams the VCDIFF of `target` against `base`: any size, some 100 MB of memory. */
export async function* encodeWindows(
  loader: XdeltaLoader,
  base: RandomReader,
  target: RandomReader,
  level: number,
  { signal, onProgress }: FileOptions = {},
): AsyncGenerator<Uint8Array> {
  yield PLAIN_HEADER;
  if (target.bytes === 0) yield EMPTY_WINDOW;
  for (let at = 0; at < target.bytes; at += WINDOW_BYTES) {
    signal?.throwIfAborted();
    const bytes = await readWhole(target, { offset: at, length: Math.min(WINDOW_BYTES, target.bytes - at) });
    yield* encodeWindow(loader, base, around(base.bytes, at), bytes, level);
    onProgress?.(at + bytes.length, target.bytes);
  }
}

/** One or several windows whose segments lie within `segment` of the base. */
async function* encodeWindow(
  loader: XdeltaLoader,
  base: RandomReader,
  segment: Segment,
  target: Uint8Array,
  level: number,
): AsyncGenerator<Uint8Array> {
  const xdelta = await loader.load(encodeMemory(target.length, segment.length));
  const source = segment.length === 0 ? NOTHING : xdelta.place(await readWhole(base, segment));
  const made = memoryReader(xdelta.encode(target, source, level));
  for await (const window of readWindows(made)) {
    const encoding = await made.read(window.encodingOffset, window.encodingBytes);
    yield windowBytes(window, segment.offset + (window.segment?.offset ?? 0), encoding);
  }
}

/** What is known of a delta before any of it is decoded. */
export interface DeltaOutline {
  readonly targetBytes: number;
  readonly checksummed: boolean;
  /** Largest memory one of its windows needs, when segments are loaded one at a time. */
  readonly windowMemory: number;
}

/** Reads every window's head and checks it against the base. */
export async function outline(
  delta: RandomReader,
  baseBytes: number,
  signal?: AbortSignal,
): Promise<DeltaOutline> {
  let targetBytes = 0;
  let checksummed = true;
  let windowMemory = 0;
  for await (const window of readWindows(delta)) {
    signal?.throwIfAborted();
    const { segment } = window;
    if (segment !== undefined && segment.offset + segment.length > baseBytes) {
      throw invalid(
        `A window copies from ${segment.length} bytes at ${segment.offset}, past the base's ${baseBytes}: the delta belongs to another base.`,
      );
    }
    targetBytes += window.targetBytes;
    checksummed &&= window.checksummed;
    windowMemory = Math.max(
      windowMemory,
      decodeMemory(window.targetBytes, segment?.length ?? 0, window.encodingBytes),
    );
  }
  return { targetBytes, checksummed, windowMemory };
}

/** Streams the target, window by window. Call {@link outline} first: it checks what this relies on. */
export async function* decodeWindows(
  loader: XdeltaLoader,
  base: RandomReader,
  delta: RandomReader,
  windowMemory: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const xdelta = await loader.load(windowMemory);
  for await (const window of readWindows(delta)) {
    signal?.throwIfAborted();
    const { segment } = window;
    const source = segment === undefined ? NOTHING : xdelta.place(await readWhole(base, segment));
    yield await decodeWindow(xdelta, delta, window, source.pointer);
    xdelta.release(source);
  }
}

/** As {@link decodeWindows}, with the base placed once: many windows on one segment cost no copies. */
export async function* decodeWindowsInMemory(
  loader: XdeltaLoader,
  base: Uint8Array,
  delta: RandomReader,
  windowMemory: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const xdelta = await loader.load(base.length + windowMemory);
  const placed = xdelta.place(base);
  for await (const window of readWindows(delta)) {
    signal?.throwIfAborted();
    yield await decodeWindow(xdelta, delta, window, placed.pointer + (window.segment?.offset ?? 0));
  }
}

async function decodeWindow(
  xdelta: Xdelta,
  delta: RandomReader,
  window: VcdiffWindow,
  sourcePointer: number,
): Promise<Uint8Array> {
  const encoding = await delta.read(window.encodingOffset, window.encodingBytes);
  const source = { pointer: sourcePointer, length: window.segment?.length ?? 0 };
  let made: Uint8Array;
  try {
    made = xdelta.decode(asFile(window, encoding), source, window.targetBytes);
  } catch (error) {
    throw invalid(`A window of the delta does not decode against this base: ${(error as Error).message}.`);
  }
  if (made.length === window.targetBytes) return made;
  throw invalid(`A window makes ${made.length} bytes instead of the ${window.targetBytes} it announces.`);
}

function around(baseBytes: number, targetOffset: number): Segment {
  const from = Math.min(Math.max(0, targetOffset - REACH_BYTES), Math.max(0, baseBytes - REACH_BYTES));
  const to = Math.min(baseBytes, targetOffset + WINDOW_BYTES + REACH_BYTES);
  return { offset: from, length: Math.max(0, to - from) };
}

async function readWhole(file: RandomReader, segment: Segment): Promise<Uint8Array> {
  const bytes = await file.read(segment.offset, segment.length);
  if (bytes.length === segment.length) return bytes;
  throw new Error(`a file became shorter while it was read: ${bytes.length} of ${segment.length} bytes`);
}
