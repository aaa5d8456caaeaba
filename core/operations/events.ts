/** Events: told to notifiers one after the other, and to whoever listens now. */

import type { Clock } from '../contracts/clock.ts';
import type { Log } from '../contracts/log.ts';
import { Condition } from '../domain/condition.ts';
import type { Event, EventType } from '../domain/event.ts';
import { newId } from './ids.ts';

export interface EventBus {
  emit(
    type: EventType,
    subject: Event['subject'],
    text: string,
    data?: Readonly<Record<string, unknown>>,
  ): Event;
  /** Events from now on, in order. A listener that falls too far behind loses the oldest. */
  listen(signal: AbortSignal): AsyncIterable<Event>;
  /** Waits until notifiers have been told of everything, at most `limitMs`. */
  drain(limitMs: number): Promise<void>;
}

/** Notifiers are plugins: one that hangs is left behind after this long. */
const NOTIFY_LIMIT_MS = 60_000;
const LISTENER_BACKLOG = 10_000;

export interface EventBusDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Tells every notifier of one event; their failures are isolated from one another there. */
  notify(event: Event): Promise<unknown>;
}

export function createEventBus({ clock, log, notify }: EventBusDeps): EventBus {
  const listeners = new Set<(event: Event) => void>();
  let telling: Promise<void> = Promise.resolve();

  const tell = async (event: Event): Promise<void> => {
    const told = new AbortController();
    const late = clock.sleep(NOTIFY_LIMIT_MS, told.signal).then(
      () => log.warn({ event: event.id }, 'a notifier did not finish in time; going on without it'),
      () => undefined,
    );
    await Promise.race([
      notify(event).catch((error) =>
        log.error({ event: event.id, error: String(error) }, 'notification failed'),
      ),
      late,
    ]);
    told.abort();
  };

  return {
    emit(type, subject, text, data = {}) {
      const nowMs = clock.now();
      const event: Event = {
        id: newId('ev', nowMs),
        type,
        at: new Date(nowMs).toISOString(),
        subject,
        text,
        data,
      };
      for (const listener of listeners) listener(event);
      telling = telling.then(() => tell(event));
      return event;
    },
    listen: (signal) => listen(listeners, signal),
    async drain(limitMs) {
      const done = new AbortController();
      await Promise.race([telling, clock.sleep(limitMs, done.signal).catch(() => undefined)]);
      done.abort();
    },
  };
}

/** Subscribes at once, not at the first `next()`: no event between the call and the loop is lost. */
function listen(listeners: Set<(event: Event) => void>, signal: AbortSignal): AsyncIterable<Event> {
  const backlog: Event[] = [];
  const more = new Condition();
  const listener = (event: Event): void => {
    if (backlog.push(event) > LISTENER_BACKLOG) backlog.shift();
    more.notify();
  };
  const stop = (): void => {
    listeners.delete(listener);
    more.notify();
  };
  if (!signal.aborted) listeners.add(listener);
  signal.addEventListener('abort', stop, { once: true });
  return (async function* () {
    try {
      while (!signal.aborted) {
        const next = backlog.shift();
        if (next !== undefined) yield next;
        else await more.until(() => backlog.length > 0 || signal.aborted);
      }
    } finally {
      signal.removeEventListener('abort', stop);
      listeners.delete(listener);
    }
  })();
}
