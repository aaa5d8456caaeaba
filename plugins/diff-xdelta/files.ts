/** Whole files in VCDIFF; what Debian's `xdelta3 -S none` writes is read here, and the reverse. */

import { open } from 'node:fs/promises';
import type { FileFeature } from '@overdub/core/agent';
import { assertRoom, fileReader, reported, writeAtomically } from '@overdub/lib-files';
import { PLAIN_HEADER } from './vcdiff.ts';
import { decodeWindows, encodeWindows, outline } from './windows.ts';
import type { XdeltaLoader } from './xdelta.ts';

const LEVEL = 3;

/** {@link FileFeature} for VCDIFF. A base part further than 6 MiB from its old place is not found. */
export function vcdiffFiles(loader: XdeltaLoader): FileFeature {
  return {
    format: { title: 'VCDIFF', magic: PLAIN_HEADER.subarray(0, 4), checksummed: true },
    seesWholeBase: false,

    async delta(basePath, targetPath, deltaPath, options = {}) {
      const { signal } = options;
      signal?.throwIfAborted();
      await using base = await open(basePath, 'r');
      await using target = await open(targetPath, 'r');
      const windows = encodeWindows(loader, await fileReader(base), await fileReader(target), LEVEL, options);
      await writeAtomically(deltaPath, windows);
    },

    async patch(basePath, deltaPath, targetPath, options = {}) {
      const { signal } = options;
      signal?.throwIfAborted();
      await using baseFile = await open(basePath, 'r');
      await using deltaFile = await open(deltaPath, 'r');
      const base = await fileReader(baseFile);
      const delta = await fileReader(deltaFile);
      const { targetBytes, windowMemory } = await outline(delta, base.bytes, signal);
      await assertRoom(targetPath, targetBytes);
      const made = decodeWindows(loader, base, delta, windowMemory, signal);
      await writeAtomically(targetPath, reported(made, options, targetBytes));
    },
  };
}
