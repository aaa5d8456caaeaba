/** Amounts of data as people type them. */

import { UsageError } from './command.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
};

/** `800`, `500kB`, `5MB`, `1.5GB`, `64MiB` → bytes, rounded. UsageError. */
export function parseSize(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)\s?([kmg]i?)?b?$/i.exec(text);
  const unit = UNITS[(match?.[2] ?? '').toLowerCase()];
  if (match === null || unit === undefined)
    throw new UsageError(`\`${text}\` is no amount of data; write 500kB, 5MB or 64MiB.`);
  return Math.round(Number(match[1]) * unit);
}
