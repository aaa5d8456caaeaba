/** The `rsync` codec: rdiff signatures, deltas and patches. */

import {
  type DeltaCodec,
  OverdubError,
  type SignatureFeature,
  type SignatureIndex,
} from '@overdub/core/agent';
import { BlockIndex } from './block-index.ts';
import { commandsOf } from './delta-reader.ts';
import { deltaOf } from './delta-writer.ts';
import { rdiffFiles, signatureBlockBytes } from './files.ts';
import { MIN_STRONG_BYTES } from './format.ts';
import { decodeInMemory, encodeInMemory, memoryBlockBytes } from './memory.ts';
import { sign } from './signature.ts';
import { deltaStream, patchStream } from './stream.ts';
import { encodeTarget } from './target.ts';

const MAX_BYTES = 64 * 1024 * 1024;
const FORMAT_VERSION = 1;

const signatures: SignatureFeature = {
  sign: (source, options) =>
    sign(source, {
      ...options,
      blockBytes: options.blockBytes || signatureBlockBytes(options.sourceBytes),
      strongBytes: MIN_STRONG_BYTES,
    }),
  index: async (bases) => new BlockIndex(bases),
  delta: (index, target, signal) => deltaStream(ownIndex(index), target, signal),
  encode: (index, target, options) => encodeTarget(ownIndex(index), target, options),
  parts: (delta, options) => {
    assertVersion(options.formatVersion);
    return commandsOf(delta, options);
  },
  compose: deltaOf,
  patch: (base, delta, options) => {
    assertVersion(options.formatVersion);
    return patchStream(base, delta, options);
  },
};

/** Stateless: one instance serves any number of calls at once. */
export function rsyncCodec(): DeltaCodec {
  return {
    name: 'rsync',
    formatVersion: FORMAT_VERSION,
    limits: { maxBaseBytes: MAX_BYTES, maxTargetBytes: MAX_BYTES },
    signatures,
    files: rdiffFiles,
    async encode(base, target, options = {}) {
      options.signal?.throwIfAborted();
      assertWithinLimits('base', base.length);
      assertWithinLimits('target', target.length);
      const blockBytes = memoryBlockBytes(base.length, options.effort ?? 'fast');
      return encodeInMemory(base, target, blockBytes, options.signal);
    },
    async decode(base, delta, options) {
      assertVersion(options.formatVersion);
      assertWithinLimits('base', base.length);
      assertWithinLimits('target', options.targetBytes);
      return decodeInMemory(base, delta, options.targetBytes, options.signal);
    },
  };
}

function ownIndex(index: SignatureIndex): BlockIndex {
  if (index instanceof BlockIndex) return index;
  throw new Error('this signature index was made by another codec');
}

function assertVersion(version: number | undefined): void {
  if (version === undefined || version === FORMAT_VERSION) return;
  throw new OverdubError(
    'DELTA_INVALID',
    `The delta has format version ${version} of codec rsync; this program knows ${FORMAT_VERSION}.`,
    'Read it with the Overdub version that wrote it, or a later one.',
  );
}

function assertWithinLimits(what: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new OverdubError(
    'DELTA_TOO_LARGE',
    `The ${what} has ${bytes} bytes; rsync takes at most ${MAX_BYTES} in memory.`,
    'Use its signatures or files, which take any size, or cut the content into chunks.',
  );
}
