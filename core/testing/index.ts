/** Conformance suites and fakes for plugin authors and embedders. */
export * from './collect.ts';
export * from './conformance/blob-store.ts';
export { deltaCodecConformance } from './conformance/delta-codec.ts';
export {
  createRandom,
  type DeltaSample,
  damaged,
  databasePages,
  deltaSamples,
  editPages,
  noise,
} from './conformance/delta-samples.ts';
export * from './conformance/imager.ts';
export { applyTo, ContentShelf, readTree } from './conformance/imager-shelf.ts';
export * from './conformance/imager-trees.ts';
export * from './conformance/power.ts';
export * from './fakes/agent-tasks.ts';
export * from './fakes/dictionary-codec.ts';
export * from './fakes/faulty-blob-store.ts';
export * from './fakes/manual-clock.ts';
export * from './fakes/memory-blob-store.ts';
export * from './fakes/memory-repository.ts';
export * from './fakes/recording-log.ts';
