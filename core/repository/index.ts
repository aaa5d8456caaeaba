/** The repository: images in a blob store. */

export type { DeltaChoice } from './deltas/delta-search.ts';
export { type OpenRepositoryOptions, openRepository } from './open.ts';
