/** Clock and log of commands that work without an appliance. */

import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../contracts/clock.ts';
import type { Log } from '../contracts/log.ts';
import type { Environment } from './environment.ts';

export const localClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }),
};

/** Warnings and errors to standard error; OVERDUB_DEBUG shows the rest. */
export function stderrLog({ err, variables }: Environment): Log {
  const say = (level: string) => (fields: object, message: string) => {
    err(`${level}: ${message}${Object.keys(fields).length === 0 ? '' : ` ${JSON.stringify(fields)}`}\n`);
  };
  const quiet = variables.OVERDUB_DEBUG === undefined ? () => {} : undefined;
  return {
    debug: quiet ?? say('debug'),
    info: quiet ?? say('info'),
    warn: say('warning'),
    error: say('error'),
  };
}
