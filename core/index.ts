/** The public API of @overdub/core. Outsiders import this, `@overdub/core/agent` (machine halves) and `@overdub/core/testing` only. */

export * from './agent.ts';
export * from './appliance.ts';
export type * from './contracts/agent-bundle.ts';
export type * from './contracts/agent-tasks.ts';
export type * from './contracts/config.ts';
export type * from './contracts/context.ts';
export type * from './contracts/control.ts';
export type * from './contracts/image-source.ts';
export type * from './contracts/notifier.ts';
export type * from './contracts/plugin.ts';
export type * from './contracts/repository.ts';
export * from './domain/event-filter.ts';
export * from './hooks/hooks.ts';
export * from './plugin-host/inspect.ts';
export * from './plugin-host/load.ts';
export * from './plugin-host/plugin.ts';
export { pluginFromName } from './plugin-host/plugin-by-name.ts';
export { allowedText, type SchemaNode } from './plugin-host/schema.ts';
export { systemClock } from './scheduler/clock.ts';
export { VERSION } from './version.ts';
