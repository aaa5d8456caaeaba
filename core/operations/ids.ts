import { randomBytes } from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** A unique id that sorts by time: `prefix-`, ten base-32 digits of milliseconds, ten random ones. */
export function newId(prefix: string, nowMs: number): string {
  let time = '';
  for (let rest = nowMs, digit = 0; digit < 10; digit++, rest = Math.floor(rest / 32)) {
    time = `${ALPHABET[rest % 32]}${time}`;
  }
  const random = Array.from(randomBytes(10), (byte) => ALPHABET[byte % 32]).join('');
  return `${prefix}-${time}${random}`;
}
