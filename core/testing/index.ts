/** Conformance suites and fakes for plugin authors and embedders. */
export * from './collect.ts';
export * from './conformance/blob-store.ts';
export { deltaCodecConformance } from './conformance/delta-codec.ts';
export * from './conformance/imager.ts';
export * from './fakes/dictionary-codec.ts';
export * from './fakes/faulty-blob-store.ts';
export * from './fakes/memory-blob-store.ts';
