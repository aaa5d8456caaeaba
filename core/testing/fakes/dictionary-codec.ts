import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { DeltaCodec } from '../../contracts/delta-codec.ts';

/**
 * A real codec for tests: Zstandard with the base as its dictionary. Level 12, because Node's `dictionary`
 * finds matches in large bases only from level 9 on.
 */
export function dictionaryCodec(over: Partial<DeltaCodec> = {}): DeltaCodec {
  return {
    name: 'dictionary',
    formatVersion: 1,
    limits: { maxBaseBytes: 16 << 20, maxTargetBytes: 8 << 20 },
    async encode(base, target) {
      const params = {
        [constants.ZSTD_c_compressionLevel]: 12,
        [constants.ZSTD_c_windowLog]: 25,
        [constants.ZSTD_c_enableLongDistanceMatching]: 1,
      };
      return zstdCompressSync(target, { params, dictionary: Buffer.from(base) });
    },
    async decode(base, delta, { targetBytes }) {
      const target = zstdDecompressSync(delta, {
        dictionary: Buffer.from(base),
        maxOutputLength: Math.max(1, targetBytes),
      });
      if (target.length !== targetBytes) throw new Error(`made ${target.length} bytes, not ${targetBytes}`);
      return target;
    },
    ...over,
  };
}
