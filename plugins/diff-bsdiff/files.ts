/** Whole files as BSDIFF40; what Debian's `bsdiff` writes is read here, and `bspatch` reads ours. */

import { open, readFile, stat } from 'node:fs/promises';
import { type FileFeature, OverdubError } from '@overdub/core/agent';
import { assertRoom, fileReader, reported, writeAtomically } from '@overdub/lib-files';
import { decode, targetBytesOf } from './decode.ts';
import { encode, encodeMemory } from './encode.ts';
import { BSDIFF_FORMAT } from './format.ts';

/** {@link FileFeature} for BSDIFF40. Deltas need `memoryBytes` (see `encodeMemory`), patches any size. */
export function bsdiffFiles(memoryBytes: number): FileFeature {
  const assertFits = (baseBytes: number, targetBytes: number): void => {
    const needed = encodeMemory(baseBytes, targetBytes);
    if (needed > memoryBytes)
      throw tooLarge(baseBytes, `take ${needed} bytes of memory; the limit is ${memoryBytes}`);
    const free = process.availableMemory();
    if (needed > free) throw tooLarge(baseBytes, `take ${needed} bytes of memory; ${free} are free`);
  };
  return {
    format: BSDIFF_FORMAT,
    seesWholeBase: true,
    assertFits,

    async delta(basePath, targetPath, deltaPath, options = {}) {
      options.signal?.throwIfAborted();
      assertFits((await stat(basePath)).size, (await stat(targetPath)).size);
      const base = await readFile(basePath);
      const target = await readFile(targetPath);
      async function* whole(): AsyncGenerator<Uint8Array> {
        yield await encode(base, target, options);
      }
      await writeAtomically(deltaPath, whole());
    },

    async patch(basePath, deltaPath, targetPath, options = {}) {
      options.signal?.throwIfAborted();
      await using baseFile = await open(basePath, 'r');
      await using deltaFile = await open(deltaPath, 'r');
      const delta = await fileReader(deltaFile);
      const targetBytes = await targetBytesOf(delta);
      await assertRoom(targetPath, targetBytes);
      const made = decode(await fileReader(baseFile), delta, options.signal);
      await writeAtomically(targetPath, reported(made, options, targetBytes));
    },
  };
}

function tooLarge(baseBytes: number, why: string): OverdubError {
  return new OverdubError(
    'DELTA_TOO_LARGE',
    `A bsdiff delta of a base of ${baseBytes} bytes would ${why}.`,
    'Use the codec rsync or xdelta for this file, or raise the plugin’s option memoryMiB.',
  );
}
