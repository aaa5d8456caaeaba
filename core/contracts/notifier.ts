import type { Event } from '../domain/event.ts';

/** Receives events. Failures are isolated, logged and retried by the core; at least once, in order per notifier. */
export interface Notifier {
  readonly name: string;
  notify(event: Event, signal: AbortSignal): Promise<void>;
}
