/** Checks a plugin's options against its schema: defaults filled in, unknown keys refused, mistakes named. */

import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import { nearest } from '../domain/nearest.ts';
import { type Attribution, OverdubError } from '../errors.ts';
import { allowedText, type SchemaNode } from './schema.ts';

interface UnknownKey {
  readonly path: readonly string[];
  readonly allowed: readonly string[];
}

/** What a message calls the thing that has the options: a plugin, or a file. */
interface Subject {
  readonly label: string;
  readonly attribution: Attribution;
}

/**
 * The options with defaults filled in; the given value is not changed.
 * CONFIG_INVALID names the plugin, the key, what is allowed and the nearest right key.
 */
export function checkOptions(plugin: string, schema: TSchema, given: unknown): unknown {
  return check({ label: plugin, attribution: { plugin } }, schema, given);
}

/** The same for a configuration file's own keys; messages begin with the file's name. */
export function checkFileKeys(file: string, schema: TSchema, given: unknown): unknown {
  return check({ label: file, attribution: {} }, schema, given);
}

function check(subject: Subject, schema: TSchema, given: unknown): unknown {
  const unknown = unknownKeys(schema, given, [])[0];
  if (unknown !== undefined) throw unknownKeyError(subject, unknown);
  const options: unknown = Value.Default(schema, copyPlain(given));
  if (!Value.Check(schema, options)) throw wrongValueError(subject, schema, options);
  return options;
}

/** Objects and lists are copied, everything else (functions, class instances) is shared. */
function copyPlain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyPlain);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copyPlain(inner)]));
}

function unknownKeyError({ label, attribution }: Subject, { path, allowed }: UnknownKey): OverdubError {
  const key = path.at(-1) as string;
  const guess = nearest(key, allowed);
  return new OverdubError(
    'CONFIG_INVALID',
    `${label}: the option \`${path.join('.')}\` does not exist.${guess === undefined ? '' : ` Did you mean \`${guess}\`?`}`,
    allowed.length === 0
      ? `Remove it: ${path.length === 1 ? label : `\`${path.slice(0, -1).join('.')}\``} takes no options.`
      : `Allowed here: ${allowed.map((name) => `\`${name}\``).join(', ')}.`,
    attribution,
  );
}

function wrongValueError({ label, attribution }: Subject, schema: TSchema, options: unknown): OverdubError {
  const errors = Value.Errors(schema, options);
  // The last of a union's errors is the union's own; the first of the others is the most telling.
  const error = errors.find((each) => each.keyword === 'anyOf') ?? errors[0];
  const path = (error?.instancePath ?? '').split('/').slice(1).map(unescapePointer);
  const missing = (error?.params as { requiredProperties?: readonly string[] } | undefined)
    ?.requiredProperties;
  const full = missing?.[0] === undefined ? path : [...path, missing[0]];
  const node = nodeAt(schema as SchemaNode, full);
  const allowed = node === undefined ? (error?.message ?? 'another value') : allowedText(node);
  const name = full.length === 0 ? 'the options' : `the option \`${full.join('.')}\``;
  const found = missing === undefined ? `is ${shown(valueAt(options, full))}` : 'is missing';
  return new OverdubError(
    'CONFIG_INVALID',
    `${label}: ${name} ${full.length === 0 ? `are ${shown(options)}` : found}; it must be ${allowed}.`,
    `Correct it in the configuration file${node?.description === undefined ? '.' : ` (${node.description.replace(/\.$/, '')}).`}`,
    attribution,
  );
}

/** Keys that no part of the schema knows. Objects are closed unless they say `additionalProperties`. */
function unknownKeys(schema: TSchema, value: unknown, path: readonly string[]): readonly UnknownKey[] {
  const node = schema as SchemaNode;
  const variants = node.anyOf ?? node.oneOf;
  if (variants !== undefined) return unknownInVariants(variants, value, path);
  if (Array.isArray(value)) return unknownInItems(node, value, path);
  if (typeof value !== 'object' || value === null) return [];
  const properties = allProperties(node);
  if (properties === undefined) return [];
  const allowed = Object.keys(properties);
  return Object.entries(value).flatMap(([key, inner]) =>
    Object.hasOwn(properties, key)
      ? unknownKeys(properties[key] as TSchema, inner, [...path, key])
      : [{ path: [...path, key], allowed }],
  );
}

function unknownInVariants(
  variants: readonly SchemaNode[],
  value: unknown,
  path: readonly string[],
): readonly UnknownKey[] {
  if (typeof value !== 'object' || value === null) return [];
  const matching = variants.filter((variant) => Value.Check(variant as TSchema, value));
  const tried = (matching.length > 0 ? matching : variants).map((variant) =>
    unknownKeys(variant as TSchema, value, path),
  );
  return tried.reduce((best, each) => (each.length < best.length ? each : best), tried[0] ?? []);
}

function unknownInItems(
  node: SchemaNode,
  value: readonly unknown[],
  path: readonly string[],
): readonly UnknownKey[] {
  if (node.items === undefined || Array.isArray(node.items)) return [];
  return value.flatMap((item, index) => unknownKeys(node.items as TSchema, item, [...path, String(index)]));
}

/** Every key an object may have; `undefined` when it is open. */
function allProperties(node: SchemaNode): Readonly<Record<string, SchemaNode>> | undefined {
  if (node.allOf !== undefined) {
    const parts = node.allOf.map(allProperties);
    return parts.includes(undefined) ? undefined : Object.assign({}, ...parts);
  }
  const open =
    node.patternProperties !== undefined ||
    (node.additionalProperties !== undefined && node.additionalProperties !== false);
  return open || (node.properties === undefined && node.type !== 'object')
    ? undefined
    : (node.properties ?? {});
}

/** The schema of one path; unions are followed where only one variant has it. */
function nodeAt(root: SchemaNode, path: readonly string[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = root;
  for (const key of path) {
    if (node === undefined) return undefined;
    const variants: readonly SchemaNode[] = node.anyOf ?? node.oneOf ?? node.allOf ?? [node];
    node = variants
      .map((variant) => variant.properties?.[key] ?? (variant.items as SchemaNode | undefined))
      .find((each) => each !== undefined);
  }
  return node;
}

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[key] : undefined,
    value,
  );
}

function shown(value: unknown): string {
  const text = typeof value === 'function' ? 'a function' : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}
