/** Frames of one compressor, so that its tables are made once: made anew for each group they cost more than the work. */

import { setImmediate } from 'node:timers/promises';
import { constants, createZstdCompress } from 'node:zlib';
import type { Compression } from '@overdub/core/agent';

/** Output of one step: each is a trip to another thread, and an allocation. */
const PIECE_BYTES = 1024 * 1024;
const SMALLEST_WINDOW_LOG = 17;
const HEADER_BYTES = 6;
/**
 * Of `fast` the tables stay in a core's own cache, larger than level 3 has them: level 4 with 2^20 places makes a
 * hundredth less of it, for one and a half times the CPU where the machine is alone, and twice where others use its cache. `small` makes a
 * twelfth less, and a whole first overlay takes half more CPU (docs/overlays.md).
 */
const EFFORTS: Readonly<Record<Compression, Readonly<Record<number, number>>>> = {
  fast: {
    [constants.ZSTD_c_compressionLevel]: 3,
    [constants.ZSTD_c_hashLog]: 18,
    [constants.ZSTD_c_chainLog]: 17,
  },
  small: { [constants.ZSTD_c_compressionLevel]: 9 },
};
/** Header flags (RFC 8878 §3.1.1.1.1): a window descriptor and nothing else; with four bytes of length. */
const FLAGS = { plain: 0x00, withLength: 0x80 } as const;

export class GroupCompressor {
  readonly #stream: ReturnType<typeof createZstdCompress>;
  #pieces: Buffer[] = [];

  /** `groupBytes`: the most that is compressed at a time; the window goes over all of it. */
  constructor(compression: Compression, groupBytes: number) {
    const params = {
      ...EFFORTS[compression],
      [constants.ZSTD_c_windowLog]: Math.max(SMALLEST_WINDOW_LOG, Math.ceil(Math.log2(groupBytes))),
    };
    this.#stream = createZstdCompress({ params, chunkSize: PIECE_BYTES });
    this.#stream.on('data', (piece: Buffer) => this.#pieces.push(piece));
  }

  /** One frame of these bytes, which must stay as they are meanwhile, in pieces. One call at a time. */
  async compress(raw: Uint8Array): Promise<readonly Uint8Array[]> {
    const stream = this.#stream;
    await new Promise<void>((resolve, reject) => {
      stream.once('error', reject);
      stream.write(raw);
      stream.flush(constants.ZSTD_e_end, () => {
        stream.off('error', reject);
        resolve();
      });
    });
    while (stream.readableLength > 0) await setImmediate();
    const pieces = this.#pieces;
    this.#pieces = [];
    return withLength(pieces, raw.length);
  }

  close(): void {
    this.#stream.destroy();
  }
}

/** A stream's frames do not tell how much they make, which a reader wants to know before it begins: added here. */
function withLength(pieces: readonly Buffer[], rawBytes: number): readonly Uint8Array[] {
  const first = pieces[0];
  if (first === undefined || first.length < HEADER_BYTES || first[4] !== FLAGS.plain) {
    throw new Error('the compressor made a frame header of another kind than expected');
  }
  const header = Buffer.alloc(HEADER_BYTES + 4);
  first.copy(header, 0, 0, HEADER_BYTES);
  header[4] = FLAGS.withLength;
  header.writeUInt32LE(rawBytes, HEADER_BYTES);
  return [header, first.subarray(HEADER_BYTES), ...pieces.slice(1)];
}
