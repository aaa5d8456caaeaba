/** The `zstd` codec: Zstandard frames with the base as prefix, as `zstd --patch-from` makes them. */

import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import { type DeltaCodec, OverdubError } from '@overdub/core/agent';
import { memoryReader } from '@overdub/lib-files';
import { zstdFiles } from './files.ts';
import { invalid, readFrame } from './frame.ts';
import { compressSettings, decompressSettings } from './settings.ts';

const MAX_BYTES = 64 * 1024 * 1024;
const FORMAT_VERSION = 1;
/** Output pieces of Node's zstd, bytes. */
const MIN_PIECE = 64 * 1024;
const MAX_PIECE = 1024 * 1024;

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Stateless; the work runs in Node's thread pool. */
export function zstdCodec(): DeltaCodec {
  return {
    name: 'zstd',
    formatVersion: FORMAT_VERSION,
    limits: { maxBaseBytes: MAX_BYTES, maxTargetBytes: MAX_BYTES },
    files: zstdFiles,

    async encode(base, target, options = {}) {
      options.signal?.throwIfAborted();
      assertWithinLimits('base', base.length);
      assertWithinLimits('target', target.length);
      const delta = await compress(target, compressSettings(base, target.length, options.effort ?? 'fast'));
      options.signal?.throwIfAborted();
      return plain(delta);
    },

    async decode(base, delta, options) {
      const { targetBytes, formatVersion, signal } = options;
      signal?.throwIfAborted();
      assertVersion(formatVersion);
      assertWithinLimits('base', base.length);
      assertWithinLimits('target', targetBytes);
      const windowBytes = await checkedWindow(delta, base.length, targetBytes);
      const target = await decompress(delta, {
        ...decompressSettings(base, windowBytes),
        maxOutputLength: Math.max(1, targetBytes),
        chunkSize: Math.max(MIN_PIECE, Math.min(MAX_PIECE, targetBytes)),
      }).catch((error: Error) => {
        throw invalid(`The delta does not decode against this base: ${error.message}.`);
      });
      signal?.throwIfAborted();
      if (target.length === targetBytes) return plain(target);
      throw invalid(`The delta makes ${target.length} bytes instead of ${targetBytes}.`);
    },
  };
}

/** What this codec writes always has: one frame, the content's length, a checksum, a window no larger than needed. */
async function checkedWindow(delta: Uint8Array, baseBytes: number, targetBytes: number): Promise<number> {
  const { contentBytes, windowBytes, checksummed } = await readFrame(memoryReader(delta));
  if (contentBytes !== targetBytes) {
    throw invalid(
      `The delta makes ${contentBytes ?? 'an unknown number of'} bytes instead of ${targetBytes}.`,
    );
  }
  if (!checksummed) throw invalid('The delta has no checksum.');
  if (windowBytes > Math.max(1024, 2 * (baseBytes + targetBytes))) {
    throw invalid(`The delta asks for a window of ${windowBytes} bytes, more than base and target have.`);
  }
  return windowBytes;
}

function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function assertVersion(version: number | undefined): void {
  if (version === undefined || version === FORMAT_VERSION) return;
  throw new OverdubError(
    'DELTA_INVALID',
    `The delta has format version ${version} of codec zstd; this program knows ${FORMAT_VERSION}.`,
    'Read it with the Overdub version that wrote it, or a later one.',
  );
}

function assertWithinLimits(what: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new OverdubError(
    'DELTA_TOO_LARGE',
    `The ${what} has ${bytes} bytes; zstd takes at most ${MAX_BYTES} in memory.`,
    'Cut the content into chunks, or use whole files, which go up to 2 GiB.',
  );
}
