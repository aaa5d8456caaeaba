/** Files that appear complete or not at all, steps that outlast a power cut, and random access to bytes. A library: no plugin. */

export * from './atomic-file.ts';
export * from './durable.ts';
export * from './progress.ts';
export * from './readers.ts';
