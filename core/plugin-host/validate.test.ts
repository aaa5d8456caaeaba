import { Type } from 'typebox';
import { describe, expect, test } from 'vitest';
import type { ConfiguredPlugin } from '../contracts/plugin.ts';
import { OverdubError } from '../errors.ts';
import { checkOptions } from './options.ts';
import { definePlugin } from './plugin.ts';
import { validatePlugins } from './validate.ts';

const named = (name: string, requires: string[] = [], apiVersion = '^1.0.0') =>
  definePlugin({ name, apiVersion, requires, options: Type.Object({}), apply: () => undefined })();

function failure(work: () => unknown): OverdubError {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(OverdubError);
    return error as OverdubError;
  }
  throw new Error('nothing was thrown');
}

describe('the list', () => {
  test('duplicates are refused', () => {
    const error = failure(() => validatePlugins([named('a'), named('b'), named('a')]));
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', plugin: 'a' });
  });

  test('a factory that was not called is told apart from something else', () => {
    const factory = definePlugin({
      name: 'a',
      apiVersion: '*',
      options: Type.Object({}),
      apply: () => undefined,
    });
    const wrong = (value: unknown) => failure(() => validatePlugins([value as ConfiguredPlugin]));
    expect(wrong(factory)).toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'plugins[0] is a plugin factory that was not called.',
    });
    expect(wrong('boot-pxe').message).toBe('plugins[0] is not a plugin.');
    expect(wrong(undefined).code).toBe('CONFIG_INVALID');
  });

  test('another API version is refused, with both versions', () => {
    const error = failure(() => validatePlugins([named('a', [], '^2.0.0')]));
    expect(error).toMatchObject({ code: 'PLUGIN_INCOMPATIBLE', plugin: 'a' });
    expect(error.message).toContain('^2.0.0');
    expect(error.message).toContain('1.0.0');
  });

  test.each([
    ['apiVersion', undefined, 'has no apiVersion'],
    ['apiVersion', 1, 'has no apiVersion'],
    ['options', undefined, 'has no schema of its options'],
    ['requires', 'b', 'requires something else than plugins by name'],
  ])('a plugin whose %s is %j is refused, and told what to write', (field, value, what) => {
    const plugin = named('a');
    const definition = { ...plugin.definition, [field]: value } as typeof plugin.definition;
    const error = failure(() => validatePlugins([{ ...plugin, definition }]));
    expect(error).toMatchObject({ code: 'PLUGIN_INCOMPATIBLE', plugin: 'a' });
    expect(error.message).toContain(`a ${what}`);
    expect(error.remedy).toContain(field);
  });

  test('a malformed API version is refused', () => {
    expect(failure(() => validatePlugins([named('a', [], 'newest')])).message).toContain(
      'not a semver range',
    );
  });

  test('a required plugin must be there', () => {
    const error = failure(() => validatePlugins([named('boot-pxe'), named('b', ['boot-pxi'])]));
    expect(error).toMatchObject({ code: 'PLUGIN_INCOMPATIBLE', plugin: 'b' });
    expect(error.message).toContain('boot-pxe is');
  });

  test('a required plugin must come first; the order is never rearranged', () => {
    const error = failure(() => validatePlugins([named('b', ['a']), named('a')]));
    expect(error.message).toContain('configured after it');
    expect(validatePlugins([named('a'), named('b', ['a'])])).toHaveLength(2);
  });
});

describe('options', () => {
  const schema = Type.Object({
    mode: Type.Union([Type.Literal('proxy'), Type.Literal('full')], { default: 'proxy' }),
    port: Type.Integer({ minimum: 1, maximum: 65535, default: 67, description: 'UDP port.' }),
    pool: Type.Optional(Type.Object({ from: Type.String(), to: Type.String() })),
    hosts: Type.Array(Type.Object({ mac: Type.String(), name: Type.Optional(Type.String()) }), {
      default: [],
    }),
    labels: Type.Optional(Type.Record(Type.String(), Type.String())),
    where: Type.Optional(
      Type.Union([
        Type.Object({ kind: Type.Literal('file'), path: Type.String() }),
        Type.Object({ kind: Type.Literal('s3'), bucket: Type.String() }),
      ]),
    ),
  });
  const check = (given: unknown) => checkOptions('boot-pxe', schema, given);

  test('defaults are filled in and the given value is left alone', () => {
    const given = {};
    expect(check(given)).toEqual({ mode: 'proxy', port: 67, hosts: [] });
    expect(given).toEqual({});
  });

  test('a misspelt key names plugin, key, nearest and allowed keys', () => {
    const error = failure(() => check({ prot: 67 }));
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', plugin: 'boot-pxe' });
    expect(error.message).toBe('boot-pxe: the option `prot` does not exist. Did you mean `port`?');
    expect(error.remedy).toContain('`mode`, `port`, `pool`');
  });

  test.each([
    [{ pool: { from: 'a', to: 'b', form: 1 } }, 'pool.form'],
    [{ hosts: [{ mac: 'x' }, { mac: 'y', nmae: 'z' }] }, 'hosts.1.nmae'],
    [{ where: { kind: 's3', bucket: 'b', path: 'p' } }, 'where.path'],
  ])('an unknown key inside is found: %j', (given, path) => {
    expect(failure(() => check(given)).message).toContain(`\`${path}\``);
  });

  test('open records take any key; each variant its own', () => {
    expect(check({ labels: { rack: '3' }, where: { kind: 'file', path: '/x' } })).toMatchObject({
      labels: { rack: '3' },
    });
  });

  test.each([
    [{ port: 'x' }, 'boot-pxe: the option `port` is "x"; it must be an integer from 1 to 65535.'],
    [{ port: 0 }, 'boot-pxe: the option `port` is 0; it must be an integer from 1 to 65535.'],
    [{ mode: 'both' }, 'boot-pxe: the option `mode` is "both"; it must be "proxy" or "full".'],
    [{ pool: { from: 'a' } }, 'boot-pxe: the option `pool.to` is missing; it must be a string.'],
    [{ hosts: [{ mac: 1 }] }, 'boot-pxe: the option `hosts.0.mac` is 1; it must be a string.'],
  ])('a wrong value says what it is and what it must be: %j', (given, message) => {
    expect(failure(() => check(given)).message).toBe(message);
  });

  test('the description of the key is part of the remedy', () => {
    expect(failure(() => check({ port: null })).remedy).toContain('UDP port');
  });

  test.each([[null], ['text'], [[]]])('%j instead of an object', (given) => {
    expect(failure(() => check(given)).code).toBe('CONFIG_INVALID');
  });
});
