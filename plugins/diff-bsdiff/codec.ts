/** The `bsdiff` codec: BSDIFF40, in TypeScript. */

import { type DeltaCodec, OverdubError } from '@overdub/core/agent';
import { memoryReader } from '@overdub/lib-files';
import { decode, targetBytesOf } from './decode.ts';
import { encode } from './encode.ts';
import { bsdiffFiles } from './files.ts';
import { invalid } from './format.ts';

const MAX_BYTES = 8 * 1024 * 1024;
const FORMAT_VERSION = 1;
const DEFAULT_MEMORY_BYTES = 2 ** 31;

export interface BsdiffOptions {
  /** Most memory that a delta of whole files may take. Default 2 GiB: bases of some 100 MB. */
  readonly memoryBytes?: number;
}

/** Stateless. `effort` changes nothing: there is one way to search. */
export function bsdiffCodec({ memoryBytes = DEFAULT_MEMORY_BYTES }: BsdiffOptions = {}): DeltaCodec {
  return {
    name: 'bsdiff',
    formatVersion: FORMAT_VERSION,
    limits: { maxBaseBytes: MAX_BYTES, maxTargetBytes: MAX_BYTES },
    files: bsdiffFiles(memoryBytes),

    async encode(base, target, { signal } = {}) {
      assertWithinLimits('base', base.length);
      assertWithinLimits('target', target.length);
      return encode(base, target, signal === undefined ? {} : { signal });
    },

    async decode(base, delta, { targetBytes, formatVersion, signal }) {
      signal?.throwIfAborted();
      assertVersion(formatVersion);
      assertWithinLimits('base', base.length);
      assertWithinLimits('target', targetBytes);
      const reader = memoryReader(delta);
      const announced = await targetBytesOf(reader);
      if (announced !== targetBytes) {
        throw invalid(`The delta makes ${announced} bytes instead of ${targetBytes}.`);
      }
      const target = new Uint8Array(targetBytes);
      let at = 0;
      for await (const piece of decode(memoryReader(base), reader, signal)) {
        target.set(piece, at);
        at += piece.length;
      }
      return target;
    },
  };
}

function assertVersion(version: number | undefined): void {
  if (version === undefined || version === FORMAT_VERSION) return;
  throw new OverdubError(
    'DELTA_INVALID',
    `The delta has format version ${version} of codec bsdiff; this program knows ${FORMAT_VERSION}.`,
    'Read it with the Overdub version that wrote it, or a later one.',
  );
}

function assertWithinLimits(what: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new OverdubError(
    'DELTA_TOO_LARGE',
    `The ${what} has ${bytes} bytes; bsdiff takes at most ${MAX_BYTES} in memory.`,
    'Cut the content into chunks, or use whole files, which memory alone limits.',
  );
}
