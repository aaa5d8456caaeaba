/** What runs on machines too: domain, contracts and errors, free of server-side dependencies. */

export * from './contracts/agent-half.ts';
export * from './contracts/blob-store.ts';
export type * from './contracts/boot.ts';
export type * from './contracts/clock.ts';
export type * from './contracts/delta-codec.ts';
export type * from './contracts/imager.ts';
export type * from './contracts/log.ts';
export type * from './contracts/power.ts';
export * from './domain/ahead.ts';
export * from './domain/appliance-url.ts';
export * from './domain/blob-name.ts';
export * from './domain/boot.ts';
export * from './domain/chunker.ts';
export * from './domain/condition.ts';
export * from './domain/content-ref.ts';
export * from './domain/digest-set.ts';
export type * from './domain/event.ts';
export * from './domain/frames.ts';
export * from './domain/groups.ts';
export * from './domain/heard-later.ts';
export * from './domain/machine.ts';
export type * from './domain/manifest.ts';
export * from './domain/master.ts';
export type * from './domain/operation.ts';
export * from './domain/page-builder.ts';
export * from './domain/page-index.ts';
export * from './domain/page-walk.ts';
export {
  checkEntry,
  decodePage,
  encodePage,
  MAX_PAGE_BYTES,
} from './domain/pages.ts';
export * from './domain/path.ts';
export * from './domain/pieces.ts';
export * from './domain/protocol.ts';
export * from './domain/release.ts';
export * from './domain/retention.ts';
export * from './domain/schedule.ts';
export * from './domain/selectors.ts';
export * from './domain/server.ts';
export type * from './domain/snapshot.ts';
export * from './domain/stored-body.ts';
export * from './domain/transfer-bodies.ts';
export * from './errors.ts';
export { hasManyEntries, ROOM, withRoom } from './heap-room.ts';
export { type ThreadProgram, threadProgram } from './thread-program.ts';
export { UnnamedFile } from './unnamed-file.ts';
