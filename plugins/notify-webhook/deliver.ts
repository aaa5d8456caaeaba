/** One delivery: POST, signed, tried again while the receiver may recover. */

import { createHmac } from 'node:crypto';
import type { Clock, Event } from '@overdub/core';

export interface DeliverOptions {
  readonly url: string;
  readonly secret?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly attempts: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const FIRST_PAUSE_MS = 1000;

/** Resolves when the receiver said 2xx. Rejects after the last try, or at once for an answer that will not change. */
export async function deliver(event: Event, options: DeliverOptions): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const failure = await post(event, attempt, options);
    if (failure === undefined) return;
    options.signal.throwIfAborted();
    if (failure.final || attempt >= options.attempts) {
      throw new Error(
        `${options.url} did not take the event (try ${attempt} of ${options.attempts}): ${failure.why}`,
      );
    }
    await options.clock.sleep(FIRST_PAUSE_MS * 2 ** (attempt - 1), options.signal);
  }
}

interface Failure {
  readonly why: string;
  /** The receiver understood and refused: the same again will not help. */
  readonly final: boolean;
}

async function post(event: Event, attempt: number, options: DeliverOptions): Promise<Failure | undefined> {
  const body = JSON.stringify(event);
  try {
    const response = await fetch(options.url, {
      method: 'POST',
      body,
      redirect: 'manual',
      signal: AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)]),
      headers: {
        ...options.headers,
        'content-type': 'application/json',
        'overdub-event': event.type,
        'overdub-delivery': event.id,
        'overdub-attempt': String(attempt),
        ...signature(body, options),
      },
    });
    await response.body?.cancel();
    if (response.ok) return undefined;
    const mayRecover = response.status >= 500 || response.status === 429 || response.status === 408;
    return { why: `HTTP ${response.status}`, final: !mayRecover };
  } catch (error) {
    const { message, cause } = error as Error;
    return { why: cause instanceof Error ? cause.message : message, final: false };
  }
}

/** `t=<seconds>,v1=<hex HMAC-SHA-256 of "<seconds>.<body>">`: the time in it lets a receiver refuse replays. */
function signature(body: string, { secret, clock }: DeliverOptions): Record<string, string> {
  if (secret === undefined) return {};
  const seconds = Math.floor(clock.now() / 1000);
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return { 'overdub-signature': `t=${seconds},v1=${mac}` };
}
