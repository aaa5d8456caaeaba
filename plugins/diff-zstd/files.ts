/** Whole files as `zstd --patch-from` frames, up to 2 GiB. */

import { createReadStream } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress, createZstdDecompress } from 'node:zlib';
import { type FileFeature, OverdubError } from '@overdub/core/agent';
import { assertRoom, fileReader, writeAtomically } from '@overdub/lib-files';
import { invalid, readFrame } from './frame.ts';
import { compressMemory, compressSettings, decompressMemory, decompressSettings } from './settings.ts';

/** zstd's own limit for --patch-from (zstd#2173, #3852). */
const MAX_FILE_BYTES = 2 ** 31 - 1;
const EFFORT = 'fast';
const READ_BYTES = 1024 * 1024;

/** {@link FileFeature} for zstd. The base is a prefix in one piece, so memory grows with it (see the README). */
export const zstdFiles: FileFeature = {
  async delta(basePath, targetPath, deltaPath, signal) {
    signal?.throwIfAborted();
    const baseBytes = await assertWithinLimit(basePath);
    const targetBytes = await assertWithinLimit(targetPath);
    assertMemory(compressMemory(baseBytes, targetBytes, EFFORT));
    const base = await readFile(basePath, signal === undefined ? {} : { signal });
    const compressor = createZstdCompress(compressSettings(base, targetBytes, EFFORT));
    await writeAtomically(deltaPath, through(targetPath, compressor, signal));
  },

  async patch(basePath, deltaPath, targetPath, signal) {
    signal?.throwIfAborted();
    const baseBytes = await assertWithinLimit(basePath);
    await using deltaFile = await open(deltaPath, 'r');
    const { contentBytes, windowBytes } = await frameOf(deltaFile);
    assertMemory(decompressMemory(baseBytes, windowBytes));
    await assertRoom(targetPath, contentBytes ?? 0);
    const base = await readFile(basePath, signal === undefined ? {} : { signal });
    const decompressor = createZstdDecompress(decompressSettings(base, windowBytes));
    await writeAtomically(targetPath, exactly(through(deltaPath, decompressor, signal), contentBytes));
  },
};

async function frameOf(delta: FileHandle): ReturnType<typeof readFrame> {
  const frame = await readFrame(await fileReader(delta));
  for (const bytes of [frame.contentBytes ?? 0, frame.windowBytes]) {
    if (bytes > MAX_FILE_BYTES + 1) throw tooLarge(`The delta needs ${bytes} bytes at once`);
  }
  return frame;
}

/** Pipes a file through a (de)compressor; a failure of either side ends the iteration with its error. */
async function* through(
  path: string,
  transform: Duplex,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const source = createReadStream(path, { highWaterMark: READ_BYTES });
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
  for await (const piece of pieces) {
    made += piece.length;
    if (made > (bytes ?? MAX_FILE_BYTES))
      throw invalid(`The delta makes more than ${bytes ?? MAX_FILE_BYTES} bytes.`);
    yield piece;
  }
  if (bytes !== undefined && made !== bytes)
    throw invalid(`The delta makes ${made} bytes instead of ${bytes}.`);
}

async function assertWithinLimit(path: string): Promise<number> {
  const { size } = await stat(path);
  if (size > MAX_FILE_BYTES) throw tooLarge(`${path} has ${size} bytes`);
  return size;
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
