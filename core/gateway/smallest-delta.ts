/** Chooses the codec for a delta that is about to travel, by measured size. */

import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import type { DeltaCodec } from '../contracts/delta-codec.ts';

const compress = promisify(zstdCompress);
const params = { [constants.ZSTD_c_compressionLevel]: 3 };

/** The smallest delta after compression; undefined when sending the target itself is no longer. */
export async function smallestDelta(
  codecs: readonly DeltaCodec[],
  base: Uint8Array,
  target: Uint8Array,
): Promise<{ readonly codec: DeltaCodec; readonly delta: Uint8Array } | undefined> {
  let best: { readonly codec: DeltaCodec; readonly delta: Uint8Array } | undefined;
  let bestBytes = (await compress(target, { params })).length;
  for (const codec of codecs) {
    const { maxBaseBytes, maxTargetBytes } = codec.limits;
    if (base.length > maxBaseBytes || target.length > maxTargetBytes) continue;
    const delta = await codec.encode(base, target, { effort: 'fast' });
    // The body is compressed as a whole: what counts is what is left of the delta after that.
    const bytes = (await compress(delta, { params })).length;
    if (bytes >= bestBytes) continue;
    bestBytes = bytes;
    best = { codec, delta };
  }
  return best;
}
