import type { Digest } from '../domain/manifest.ts';
import { OverdubError } from '../errors.ts';

const REMEDY =
  'Check the disk below the repository. The next snapshot of a machine that still has these bytes stores them anew.';

/** REPOSITORY_DAMAGED, naming what is damaged and where. */
export function damaged(what: string, cause?: unknown): OverdubError {
  return new OverdubError('REPOSITORY_DAMAGED', what, REMEDY, cause === undefined ? {} : { cause });
}

/** REPOSITORY_DAMAGED for one chunk in one pack. */
export function damagedChunk(digest: Digest, pack: string, why: string, cause?: unknown): OverdubError {
  return damaged(`Chunk ${digest} in ${pack} is damaged: ${why}.`, cause);
}
