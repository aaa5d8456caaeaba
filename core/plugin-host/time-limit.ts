import type { Clock } from '../contracts/clock.ts';
import { OverdubError } from '../errors.ts';

export const DEFAULT_TIME_LIMIT_MS = 30_000;

/**
 * Rejects with PLUGIN_TIMEOUT, naming the plugin and the phase, when `work` has not settled after `limitMs`.
 * The work itself goes on: only the plugin can end it, by its context's signal.
 */
export async function withTimeLimit<T>(
  work: Promise<T>,
  limit: { readonly plugin: string; readonly phase: 'start' | 'stop'; readonly limitMs: number },
  clock: Clock,
): Promise<T> {
  const settled = new AbortController();
  const late = clock.sleep(limit.limitMs, settled.signal).then(() => {
    throw new OverdubError(
      'PLUGIN_TIMEOUT',
      `${limit.plugin} did not ${limit.phase} within ${limit.limitMs / 1000} s.`,
      `Look at the log of ${limit.plugin} for what it waits for, or disable it in the configuration.`,
      { plugin: limit.plugin },
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    settled.abort();
    // Whichever lost the race may still reject.
    late.catch(() => {});
    work.catch(() => {});
  }
}
