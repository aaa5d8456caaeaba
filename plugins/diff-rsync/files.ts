/** Whole files in rdiff's formats; what Debian's `rdiff` writes is read here, and the reverse. */

import { open, stat } from 'node:fs/promises';
import type { FileFeature, FileOptions } from '@overdub/core/agent';
import { assertRoom, fileReader, readPieces, reported, writeAtomically } from '@overdub/lib-files';
import { BlockIndex } from './block-index.ts';
import { DeltaReader } from './delta-reader.ts';
import { DELTA_FORMAT, MIN_STRONG_BYTES } from './format.ts';
import { growCopies } from './grown-copies.ts';
import { sign } from './signature.ts';
import { signatureFiles } from './signature-files.ts';
import { deltaStream, patchStream } from './stream.ts';

/** At most this many blocks a base, when the codec chooses: an index of some 24 MB, whatever the file. */
const MAX_BLOCKS = 1024 * 1024;
const SMALLEST_BLOCK = 512;

/** Block length for a base of this size: 512 bytes up to 512 MiB, then doubling. */
export function signatureBlockBytes(baseBytes: number): number {
  let block = SMALLEST_BLOCK;
  while (block * MAX_BLOCKS < baseBytes) block *= 2;
  return block;
}

/** {@link FileFeature} for rdiff: any size, flat memory. */
export const rdiffFiles: FileFeature = {
  format: DELTA_FORMAT,
  seesWholeBase: true,
  signatures: signatureFiles,

  async delta(basePath, targetPath, deltaPath, options = {}) {
    const baseBytes = (await stat(basePath)).size;
    const total = baseBytes + (await stat(targetPath)).size;
    const index = await indexFile(basePath, baseBytes, total, options);
    const target = reported(readPieces(targetPath, options.signal), options, total, baseBytes);
    await using base = await open(basePath, 'r');
    const delta = deltaStream(index, target, options.signal);
    await writeAtomically(deltaPath, growCopies(await fileReader(base), delta));
  },

  async patch(basePath, deltaPath, targetPath, options = {}) {
    const { signal } = options;
    await using base = await open(basePath, 'r');
    const reader = await fileReader(base);
    // A few bytes of delta can ask for a full disk: learn the length before anything is written.
    const targetBytes = await producedBytes(deltaPath, reader.bytes, signal);
    await assertRoom(targetPath, targetBytes);
    const pieces = patchStream(reader, readPieces(deltaPath, signal), {
      targetBytes,
      ...(signal === undefined ? {} : { signal }),
    });
    await writeAtomically(targetPath, reported(pieces, options, targetBytes));
  },
};

async function indexFile(
  path: string,
  baseBytes: number,
  total: number,
  options: FileOptions,
): Promise<BlockIndex> {
  const { signal } = options;
  const parts: Uint8Array[] = [];
  const pieces = sign(reported(readPieces(path, signal), options, total), {
    blockBytes: signatureBlockBytes(baseBytes),
    strongBytes: MIN_STRONG_BYTES,
    sourceBytes: baseBytes,
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const piece of pieces) parts.push(piece);
  return new BlockIndex([{ signature: Buffer.concat(parts), baseBytes }]);
}

async function producedBytes(
  deltaPath: string,
  baseBytes: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const reader = new DeltaReader({ baseBytes });
  for await (const chunk of readPieces(deltaPath, signal)) {
    for (const _command of reader.read(chunk)) signal?.throwIfAborted();
  }
  reader.finish();
  return reader.produced;
}
