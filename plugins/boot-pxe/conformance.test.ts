import type { PluginContext } from '@overdub/core';
import { Check } from 'typebox/value';
import { describe, expect, test } from 'vitest';
import pxe from './index.ts';
import { PxeOptions } from './options.ts';

const apply = (options: PxeOptions): unknown => pxe().definition.apply({} as PluginContext, options);

test('the plugin is named like its folder and applies without touching anything', () => {
  const { definition, optional } = pxe();
  expect([definition.name, optional]).toEqual(['boot-pxe', false]);
  expect(apply({})).toBeUndefined();
});

describe('options', () => {
  test.each<[string, unknown]>([
    ['none', {}],
    ['one interface', { interface: 'eth0' }],
    [
      'server mode',
      { mode: 'server', interface: ['eth0'], pool: { from: '10.0.0.9', to: '10.0.0.99' }, dns: ['9.9.9.9'] },
    ],
    [
      'networks behind relays',
      { mode: 'server', subnets: [{ network: '10.2.0.0/24', pool: { from: '10.2.0.5', to: '10.2.0.9' } }] },
    ],
    [
      'all quirks',
      { quirks: { '52:54:00:12:34:56': { bootFile: 'field', nulTerminated: false, unicast: true } } },
    ],
    ['quirks', { quirks: { '52:54:00:12:34:56': { option43: false } } }],
  ])('%s are accepted', (_, options) => expect(Check(PxeOptions, options)).toBe(true));

  test.each<[string, unknown]>([
    ['an unknown key', { interfaces: 'eth0' }],
    ['an unknown mode', { mode: 'relay' }],
    ['a path as interface', { interface: '../eth0' }],
    ['an unknown quirk', { quirks: { '52:54:00:12:34:56': { option66: false } } }],
    ['a port out of range', { tftp: { port: 70_000 } }],
  ])('%s is refused', (_, options) => expect(Check(PxeOptions, options)).toBe(false));

  test.each<[string, PxeOptions, RegExp]>([
    ['server mode without a pool', { mode: 'server' }, /needs a pool/],
    ['a pool in proxy mode', { pool: { from: '10.0.0.1', to: '10.0.0.2' } }, /pool belong to mode 'server'/],
    ['a quirk for no MAC', { quirks: { all: {} } }, /"all" is none/],
    ['a pool backwards', { mode: 'server', pool: { from: '10.0.0.9', to: '10.0.0.1' } }, /ends .* before/],
    [
      'a pool of half the Internet',
      { mode: 'server', pool: { from: '10.0.0.1', to: '20.0.0.1' } },
      /1,048,576/,
    ],
    [
      'a subnet that is none',
      { mode: 'server', subnets: [{ network: '10.2.0.5/24', pool: { from: '10.2.0.5', to: '10.2.0.9' } }] },
      /10\.2\.0\.5\/24 is no network/,
    ],
    ['no address', { address: '300.0.0.1' }, /300\.0\.0\.1 is no IPv4/],
    [
      'no netmask',
      { mode: 'server', pool: { from: '10.0.0.1', to: '10.0.0.2' }, netmask: '255.0.255.0' },
      /netmask/,
    ],
  ])('%s fails before anything starts', (_, options, message) => {
    expect(() => apply(options)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) }),
    );
  });
});
