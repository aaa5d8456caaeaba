/** Secrets are shown once and kept as SHA-256: they are long and random, so a plain hash cannot be guessed back. */

import { createHash, randomBytes } from 'node:crypto';

/** A new secret: `prefix` and 256 random bits, base64url. */
export function newSecret(prefix: string): string {
  return `${prefix}${randomBytes(32).toString('base64url')}`;
}

/** What is stored of a secret: lower-case hex SHA-256. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
