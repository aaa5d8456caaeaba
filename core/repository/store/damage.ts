import type { Digest } from '../../domain/manifest.ts';
import { OverdubError } from '../../errors.ts';

const REMEDY =
  'Check the disk below the repository. See what is touched (overdub verify), then get it from the machines that still ' +
  'have it (overdub repair).';

/** REPOSITORY_DAMAGED, naming what is damaged and where. */
export function damaged(what: string, cause?: unknown): OverdubError {
  return new OverdubError('REPOSITORY_DAMAGED', what, REMEDY, cause === undefined ? {} : { cause });
}

/** REPOSITORY_DAMAGED for one chunk in one pack. */
export function damagedChunk(digest: Digest, pack: string, why: string, cause?: unknown): OverdubError {
  return damaged(`Chunk ${digest} in ${pack} is damaged: ${why}.`, cause);
}

export function isDamage(error: unknown): boolean {
  return error instanceof OverdubError && error.code === 'REPOSITORY_DAMAGED';
}
