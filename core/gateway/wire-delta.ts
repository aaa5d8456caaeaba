/** A delta that is about to travel: worth it or not. */

import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import type { DeltaCodec } from '../contracts/delta-codec.ts';

const compress = promisify(zstdCompress);
/** A delta that is so many times shorter than its target is taken: compressing both to compare would cost more than it saves. */
const CERTAIN = 16;
const params = { [constants.ZSTD_c_compressionLevel]: 3 };

/**
 * The delta of the first codec that takes inputs of these lengths; undefined when it is no smaller, after the
 * compression of the whole body, than the target itself. Only one codec is tried: a machine waits, and each
 * attempt costs memory for as long as the garbage collector pleases.
 */
export async function wireDelta(
  codecs: readonly DeltaCodec[],
  base: Uint8Array,
  target: Uint8Array,
): Promise<{ readonly codec: DeltaCodec; readonly delta: Uint8Array } | undefined> {
  const codec = codecs.find(
    ({ limits }) => base.length <= limits.maxBaseBytes && target.length <= limits.maxTargetBytes,
  );
  if (codec === undefined) return undefined;
  const delta = await codec.encode(base, target, { effort: 'fast' });
  if (delta.length * CERTAIN <= target.length) return { codec, delta };
  // One after another: each takes a compressor's memory beside its answer.
  const whole = await compress(target, { params });
  const packed = await compress(delta, { params });
  return packed.length < whole.length ? { codec, delta } : undefined;
}
