/** Reading fields of JSON that came over the wire. Everything throws INPUT_INVALID, naming the field. */

import { isDigest } from '../domain/content-ref.ts';
import type { ManifestRef } from '../domain/manifest.ts';
import { isInteger } from '../domain/pages.ts';
import { OverdubError } from '../errors.ts';

export type Fields = Readonly<Record<string, unknown>>;

export function asObject(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw invalidField(`${what} must be an object`);
}

export function requiredText(fields: Fields, key: string, maxLength: number): string {
  const value = optionalText(fields, key, maxLength);
  if (value === undefined || value === '') throw invalidField(`${key} is missing`);
  return value;
}

export function optionalText(fields: Fields, key: string, maxLength: number): string | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value.length <= maxLength) return value;
  throw invalidField(`${key} must be a text of at most ${maxLength} characters`);
}

export function optionalInteger(fields: Fields, key: string): number | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  if (isInteger(value, Number.MAX_SAFE_INTEGER)) return value;
  throw invalidField(`${key} must be a whole number`);
}

export function requiredInteger(fields: Fields, key: string): number {
  const value = optionalInteger(fields, key);
  if (value === undefined) throw invalidField(`${key} is missing`);
  return value;
}

/** A list of at most `max` texts. */
export function textList(fields: Fields, key: string, max = 10_000): string[] {
  const value = fields[key] ?? [];
  const proper =
    Array.isArray(value) &&
    value.length <= max &&
    value.every((item) => typeof item === 'string' && item.length <= 4096);
  if (!proper) throw invalidField(`${key} must be a list of texts`);
  return value as string[];
}

export function manifestRef(value: unknown, what: string): ManifestRef {
  const fields = asObject(value, what);
  if (!isDigest(fields.root)) throw invalidField(`${what}.root must be a digest`);
  return {
    root: fields.root,
    entries: requiredInteger(fields, 'entries'),
    bytes: requiredInteger(fields, 'bytes'),
  };
}

export function invalidField(what: string): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `A request of an agent is malformed: ${what}.`,
    'Compare the versions of agent and appliance.',
  );
}
