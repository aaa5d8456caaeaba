/** The `xdelta` codec: VCDIFF (RFC 3284) by xdelta3's own code, compiled to WebAssembly. */

import { type DeltaCodec, OverdubError } from '@overdub/core/agent';
import { memoryReader } from '@overdub/lib-files';
import { vcdiffFiles } from './files.ts';
import { EMPTY_WINDOW, invalid, PLAIN_HEADER } from './vcdiff.ts';
import { decodeWindowsInMemory, outline } from './windows.ts';
import { encodeMemory, NOTHING, XdeltaLoader } from './xdelta.ts';

const MAX_BYTES = 8 * 1024 * 1024;
const FORMAT_VERSION = 1;
/** xdelta3's own levels: 1 to 9. */
const LEVELS = { fast: 1, small: 3 } as const;

/** Holds nothing between calls but compiled code. */
export function xdeltaCodec(): DeltaCodec {
  const loader = new XdeltaLoader();
  return {
    name: 'xdelta',
    formatVersion: FORMAT_VERSION,
    limits: { maxBaseBytes: MAX_BYTES, maxTargetBytes: MAX_BYTES },
    files: vcdiffFiles(loader),

    async encode(base, target, options = {}) {
      options.signal?.throwIfAborted();
      assertWithinLimits('base', base.length);
      assertWithinLimits('target', target.length);
      if (target.length === 0) return new Uint8Array([...PLAIN_HEADER, ...EMPTY_WINDOW]);
      const xdelta = await loader.load(encodeMemory(target.length, base.length));
      options.signal?.throwIfAborted();
      const source = base.length === 0 ? NOTHING : xdelta.place(base);
      return xdelta.encode(target, source, LEVELS[options.effort ?? 'fast']);
    },

    async decode(base, delta, options) {
      const { targetBytes, formatVersion, signal } = options;
      signal?.throwIfAborted();
      assertVersion(formatVersion);
      assertWithinLimits('base', base.length);
      assertWithinLimits('target', targetBytes);
      const reader = memoryReader(delta);
      const known = await outline(reader, base.length, signal);
      if (known.targetBytes !== targetBytes) {
        throw invalid(`The delta makes ${known.targetBytes} bytes instead of ${targetBytes}.`);
      }
      // This codec always writes checksums; where they are gone, the delta was tampered with.
      if (!known.checksummed) throw invalid('A window of the delta has no checksum.');
      const target = new Uint8Array(targetBytes);
      let at = 0;
      for await (const part of decodeWindowsInMemory(loader, base, reader, known.windowMemory, signal)) {
        target.set(part, at);
        at += part.length;
      }
      return target;
    },
  };
}

function assertVersion(version: number | undefined): void {
  if (version === undefined || version === FORMAT_VERSION) return;
  throw new OverdubError(
    'DELTA_INVALID',
    `The delta has format version ${version} of codec xdelta; this program knows ${FORMAT_VERSION}.`,
    'Read it with the Overdub version that wrote it, or a later one.',
  );
}

function assertWithinLimits(what: string, bytes: number): void {
  if (bytes <= MAX_BYTES) return;
  throw new OverdubError(
    'DELTA_TOO_LARGE',
    `The ${what} has ${bytes} bytes; xdelta takes at most ${MAX_BYTES} in memory.`,
    'Cut the content into chunks, or use whole files, which have no limit.',
  );
}
