/** Whole files in rdiff's formats; what Debian's `rdiff` writes is read here, and the reverse. */

import { createReadStream } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import type { FileFeature } from '@overdub/core/agent';
import { assertRoom, fileReader, writeAtomically } from '@overdub/lib-files';
import { BlockIndex, openIndex } from './block-index.ts';
import { DeltaReader } from './delta-reader.ts';
import { MIN_STRONG_BYTES, type StrongKind, type WeakKind } from './format.ts';
import { rdiffBlockBytes, sign } from './signature.ts';
import { deltaStream, patchStream } from './stream.ts';

/** At most this many blocks a base, when the codec chooses: an index of some 24 MB, whatever the file. */
const MAX_BLOCKS = 1024 * 1024;
const SMALLEST_BLOCK = 512;
const READ_BYTES = 1024 * 1024;

/** Block length for a base of this size: 512 bytes up to 512 MiB, then doubling. */
export function signatureBlockBytes(baseBytes: number): number {
  let block = SMALLEST_BLOCK;
  while (block * MAX_BLOCKS < baseBytes) block *= 2;
  return block;
}

export interface SignFileOptions {
  readonly weak?: WeakKind;
  /** Default `blake2`. `md4` only for readers that know nothing else: its collisions are made at will. */
  readonly strong?: StrongKind;
  /** Default: what `rdiff` itself would take. */
  readonly blockBytes?: number;
  readonly strongBytes?: number;
  readonly signal?: AbortSignal;
}

/** Writes the signature of a file; by default the same bytes as `rdiff signature BASE SIGNATURE`. */
export async function signFile(
  basePath: string,
  signaturePath: string,
  options: SignFileOptions = {},
): Promise<void> {
  const { size } = await stat(basePath);
  const blockBytes = options.blockBytes ?? rdiffBlockBytes(size);
  await writeAtomically(
    signaturePath,
    sign(readStream(basePath, options.signal), { ...options, blockBytes, sourceBytes: size }),
  );
}

/** Writes a delta from a signature alone, with either strong sum, as `rdiff delta SIGNATURE TARGET DELTA` does. */
export async function deltaFromSignature(
  signaturePath: string,
  targetPath: string,
  deltaPath: string,
  signal?: AbortSignal,
): Promise<void> {
  const index = openIndex(await readFile(signaturePath));
  await writeAtomically(deltaPath, deltaStream(index, readStream(targetPath, signal), signal));
}

/** {@link FileFeature} for rdiff: any size, flat memory. */
export const rdiffFiles: FileFeature = {
  async delta(basePath, targetPath, deltaPath, signal) {
    const index = await indexFile(basePath, signal);
    await writeAtomically(deltaPath, deltaStream(index, readStream(targetPath, signal), signal));
  },

  async patch(basePath, deltaPath, targetPath, signal) {
    await using base = await open(basePath, 'r');
    const reader = await fileReader(base);
    // A few bytes of delta can ask for a full disk: learn the length before anything is written.
    const targetBytes = await producedBytes(deltaPath, reader.bytes, signal);
    await assertRoom(targetPath, targetBytes);
    const pieces = patchStream(reader, readStream(deltaPath, signal), {
      targetBytes,
      ...(signal === undefined ? {} : { signal }),
    });
    await writeAtomically(targetPath, pieces);
  },
};

async function indexFile(path: string, signal: AbortSignal | undefined): Promise<BlockIndex> {
  const { size } = await stat(path);
  const parts: Uint8Array[] = [];
  const pieces = sign(readStream(path, signal), {
    blockBytes: signatureBlockBytes(size),
    strongBytes: MIN_STRONG_BYTES,
    sourceBytes: size,
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const piece of pieces) parts.push(piece);
  return new BlockIndex([{ signature: Buffer.concat(parts), baseBytes: size }]);
}

async function producedBytes(
  deltaPath: string,
  baseBytes: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const reader = new DeltaReader({ baseBytes });
  let produced = 0;
  for await (const chunk of readStream(deltaPath, signal)) {
    for (const command of reader.read(chunk)) {
      produced += command.kind === 'literal' ? command.bytes.length : command.length;
    }
  }
  reader.finish();
  return produced;
}

function readStream(path: string, signal: AbortSignal | undefined): AsyncIterable<Uint8Array> {
  return createReadStream(path, {
    highWaterMark: READ_BYTES,
    ...(signal === undefined ? {} : { signal }),
  });
}
