/** Whole files as `zstd --patch-from` frames, up to 2 GiB. */

import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress, createZstdDecompress } from 'node:zlib';
import { type FileFeature, OverdubError } from '@overdub/core/agent';
import { assertRoom, fileReader, readPieces, reported, writeAtomically } from '@overdub/lib-files';
import { FRAME_START, invalid, readFrame } from './frame.ts';
import { compressMemory, compressSettings, decompressMemory, decompressSettings } from './settings.ts';

/** zstd's own limit for --patch-from (zstd#2173, #3852). */
const MAX_FILE_BYTES = 2 ** 31 - 1;
const EFFORT = 'fast';

/** {@link FileFeature} for zstd. The base is a prefix in one piece, so memory grows with it (see the README). */
export const zstdFiles: FileFeature = {
  format: { title: 'zstd --patch-from', magic: FRAME_START, checksummed: true },
  seesWholeBase: true,

  assertFits(baseBytes, targetBytes) {
    assertWithin('The base', baseBytes);
    assertWithin('The target', targetBytes);
    assertMemory(compressMemory(baseBytes, targetBytes, EFFORT));
  },

  async delta(basePath, targetPath, deltaPath, options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const baseBytes = await bytesOf(basePath);
    const targetBytes = await bytesOf(targetPath);
    assertMemory(compressMemory(baseBytes, targetBytes, EFFORT));
    const base = await readFile(basePath, signal === undefined ? {} : { signal });
    const compressor = createZstdCompress(compressSettings(base, targetBytes, EFFORT));
    const target = reported(readPieces(targetPath, signal), options, targetBytes);
    await writeAtomically(deltaPath, through(target, compressor, signal));
  },

  async patch(basePath, deltaPath, targetPath, options = {}) {
    const { signal } = options;
    signal?.throwIfAborted();
    const baseBytes = await bytesOf(basePath);
    await using deltaFile = await open(deltaPath, 'r');
    const { contentBytes, windowBytes } = await frameOf(deltaFile);
    assertMemory(decompressMemory(baseBytes, windowBytes));
    await assertRoom(targetPath, contentBytes ?? 0);
    const base = await readFile(basePath, signal === undefined ? {} : { signal });
    const decompressor = createZstdDecompress(decompressSettings(base, windowBytes));
    const made = exactly(through(readPieces(deltaPath, signal), decompressor, signal), contentBytes);
    await writeAtomically(targetPath, reported(made, options, contentBytes ?? 0));
  },
};

async function frameOf(delta: FileHandle): ReturnType<typeof readFrame> {
  const frame = await readFrame(await fileReader(delta));
  for (const bytes of [frame.contentBytes ?? 0, frame.windowBytes]) {
    if (bytes > MAX_FILE_BYTES + 1) throw tooLarge(`The delta needs ${bytes} bytes at once`);
  }
  return frame;
}

/** Pipes bytes through a (de)compressor; a failure of either side ends the iteration with its error. */
async function* through(
  source: AsyncIterable<Uint8Array>,
  transform: Duplex,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const piped = pipeline(source, transform, signal === undefined ? {} : { signal });
  piped.catch(() => undefined);
  yield* transform as AsyncIterable<Uint8Array>;
  await piped;
}

/** Passes bytes on and rejects when they are more or fewer than the frame's header said. */
async function* exactly(
  pieces: AsyncIterable<Uint8Array>,
  bytes: number | undefined,
): AsyncGenerator<Uint8Array> {
  let made = 0;
  for await (const piece of decoded(pieces)) {
    made += piece.length;
    if (made > (bytes ?? MAX_FILE_BYTES))
      throw invalid(`The delta makes more than ${bytes ?? MAX_FILE_BYTES} bytes.`);
    yield piece;
  }
  if (bytes !== undefined && made !== bytes)
    throw invalid(`The delta makes ${made} bytes instead of ${bytes}.`);
}

/** zlib's own errors mean a damaged delta, or another base. */
async function* decoded(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* pieces;
  } catch (error) {
    if (!/^Z/.test(String((error as { code?: unknown }).code))) throw error;
    throw invalid(`The delta does not decode against this base: ${(error as Error).message}.`);
  }
}

async function bytesOf(path: string): Promise<number> {
  const { size } = await stat(path);
  assertWithin(path, size);
  return size;
}

function assertWithin(what: string, bytes: number): void {
  if (bytes > MAX_FILE_BYTES) throw tooLarge(`${what} has ${bytes} bytes`);
}

function assertMemory(bytes: number): void {
  const free = process.availableMemory();
  if (bytes > free) throw tooLarge(`This takes ${bytes} bytes of memory and ${free} are free`);
}

function tooLarge(what: string): OverdubError {
  return new OverdubError(
    'DELTA_TOO_LARGE',
    `${what}; zstd deltas hold the whole base in memory and take less than 2 GiB.`,
    'Use the codec rsync or xdelta for this file.',
  );
}
