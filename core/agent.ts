/** What runs on machines too: domain, contracts and errors, free of server-side dependencies. */

export * from './contracts/agent-half.ts';
export * from './contracts/blob-store.ts';
export type * from './contracts/boot.ts';
export type * from './contracts/clock.ts';
export type * from './contracts/delta-codec.ts';
export type * from './contracts/imager.ts';
export type * from './contracts/log.ts';
export type * from './domain/event.ts';
export * from './domain/machine.ts';
export type * from './domain/manifest.ts';
export * from './domain/master.ts';
export type * from './domain/operation.ts';
export * from './domain/path.ts';
export * from './domain/protocol.ts';
export * from './domain/retention.ts';
export * from './domain/server.ts';
export type * from './domain/snapshot.ts';
export * from './errors.ts';
